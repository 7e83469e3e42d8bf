"""All of a line put together: journal, products, station, sources, sinks, and the housekeeping between them."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..bundle.reading import open_bundle
from ..bundle.signature import find_trusted
from ..errors import CmdiadError
from ..files.atomic import remove_abandoned_parts
from ..files.audit import AUDIT_FILE, AuditEntry, append_audit
from ..freed_memory import return_freed_memory
from ..patches.routes import modalities
from ..sensor.part import input_suffixes
from .delivery import Delivery
from .inspector_settings import InspectorSettings
from .journal import Journal
from .line_file import CameraTable, FolderTable, LineFile, ProductTable, placed
from .line_file_change import LineFileChange
from .line_health import LineHealth
from .line_places import require_sound_places
from .products import LOOK_SECONDS, Product, Products
from .result_files import REJECTED, WantedFiles
from .retention import Retention
from .sinks.named_sinks import open_sinks
from .sources.folder_hold import FolderHold
from .sources.genicam import CameraSettings, GenicamCamera, require_harvesters
from .sources.hot_folder import FolderSettings, HotFolder
from .station import Source, Station, StationSettings
from .tally import LineTally

_RETENTION_SECONDS = 60.0
# It takes some 3 ms, and what parts take again of it about as long.
_FREED_MEMORY_SECONDS = 10.0
_PATIENCE_SECONDS = 5.0

_log = logging.getLogger("cmdiad.line")


class ProductionLine:
    """A line that is told by one file what to do.

    Attributes:
        out: the folder of results and of the journal.
        journal, products, station, retention, tally, health: its parts.
        sources: where parts come from; others may be added before it runs.
        deliveries: one a sink.
        doubts: what of the line file may be a mistake, in words.
    """

    def __init__(self, file: LineFile, base: Path, written: Path | None = None) -> None:
        """Open everything that a line file names; nothing is inspected yet.

        Args:
            file: see `read_line_file`.
            base: the folder that its paths are relative to.
            written: where it was read from, if anywhere: a change there is said.

        Raises:
            CmdiadError: places or secrets make no sense, or something cannot be opened: journal, bundle, sink.
        """
        require_sound_places(file, base)
        line = file.line
        self.file, self.base, self.out = file, base, placed(base, line.out)
        self.journal = Journal(self.out)
        try:
            self.products = _products(file, base, self._swapped)
            self.retention = Retention(self.out, self.journal, file.history)
            self.tally, self.started_at, self._change = LineTally(), time.time(), LineFileChange(written)
            self.health = LineHealth(self.journal)
            for product in map(self.products.named, self.products.names()):
                assert product.loaded is not None
                self.health.begin(product.name, product.loaded.inspector.bundle.manifest)
            self.sinks = open_sinks(file, base, self)
            files = WantedFiles(line.heatmaps, line.clouds)
            station = StationSettings(self.out, line.threads, files, line.tries, line.retry_seconds, line.request_queue)
            names = [sink.name for sink in self.sinks]
            wanted = lambda: self.retention.wanted(files)  # noqa: E731
            self.station = Station(station, self.journal, self.products, names, wanted, self.health.judged)
        except BaseException:
            self.journal.close()
            raise
        self.deliveries = [Delivery(sink, self.journal, self.status) for sink in self.sinks]
        self._holds: dict[Path, FolderHold] = {}
        self.sources: list[Source] = [self._hot_folder(table) for table in file.folder]
        self.sources += [GenicamCamera(_camera(table, base), self.station.submit) for table in file.camera]
        self.doubts = self.products.misnamed()
        self.station.listen(lambda record, inspection: self._heard(record))
        self._resting = threading.Event()
        self._enforce_at = self._return_at = 0.0  # of the monotonic clock

    def run(self, when_ready: Callable[[], None] = lambda: None) -> None:
        """Inspect until the line is ended, then let go of everything in order.

        Args:
            when_ready: called once the sources are open.

        Raises:
            CmdiadError: what ended the line before that; every accepted part is in the journal.
        """
        # Two, so that a bundle whose test takes long keeps nobody from making room on the disk.
        keepers = [
            threading.Thread(target=self._repeat, args=(work,), name=name, daemon=True)
            for name, work in (("housekeeping", self._keep_house), ("bundles", self.products.look))
        ]
        started: list[Source] = []
        for doubt in self.doubts:
            _log.warning("%s", doubt)
        try:
            remove_abandoned_parts(self.out)
            for delivery in self.deliveries:
                delivery.start()
            for source in self.sources:
                source.start()
                started.append(source)
            for keeper in keepers:
                keeper.start()
            when_ready()
            self.station.run(self.sources)
        except CmdiadError as error:
            _log.error("the line stops: %s", error)
            raise
        finally:
            self._let_go(started, keepers)

    def _let_go(self, started: list[Source], keepers: list[threading.Thread]) -> None:
        self._resting.set()
        self.products.stop_looking()
        for source in started:
            source.stop()
        for delivery in self.deliveries:
            delivery.stop(_PATIENCE_SECONDS)
        for keeper in keepers:
            if keeper.ident is not None:
                keeper.join()
        with suppress(CmdiadError):  # what ended the line is what is said
            self.health.keep()
        self.close()

    def end(self) -> None:
        """Accept nothing more, finish what was accepted of requests, and let `run` return; from any thread."""
        threading.Thread(target=self._end, name="ending", daemon=True).start()

    def close(self) -> None:
        """Let go of bundles, hot folders and journal."""
        self.products.close()
        for hold in self._holds.values():
            hold.release()
        self.journal.close()

    def _end(self) -> None:
        for source in self.sources:
            source.stop()
        self.station.stop()

    def _hot_folder(self, table: FolderTable) -> HotFolder:
        settings = _folder(table, self.file, self.base, self.out, self.products)
        hold = self._holds.setdefault(settings.path.resolve(), FolderHold(settings.path))
        return HotFolder(settings, self.journal, self.station.wake, self.station.stop, hold)

    def not_ready(self) -> list[str]:
        """What keeps parts from coming, by the names of the line file; empty where the line is ready for them.

        A source that can deliver nothing does, and so does a server of this line's own that nobody can reach. A broker
        or an address that is away does not: results wait for it in the journal.
        """
        names = [f"source {source.name}" for source in self.sources if source.problem]
        names += [f"sink {one.sink.name}" for one in self.deliveries if one.sink.is_server and not one.is_open]
        return [*names, *(["line"] if self.station.failure is not None else [])]

    def problems(self) -> list[str]:
        """What is wrong now, in words; empty where nothing is."""
        problems = [self._change.problem, self.retention.problem, *(source.problem for source in self.sources)]
        problems += [notice for source in self.sources for notice in source.notices()]
        problems += [self.products.named(name).problem for name in self.products.names()]
        problems += self.health.problems()
        problems += [f"sink {one.sink.name}: {one.problem}" for one in self.deliveries if one.problem]
        return [problem for problem in problems if problem]

    def status(self) -> dict[str, Any]:
        """How the line is: `/v1/status`."""
        problems = self.problems()
        busy = self.station.under_way or self.station.waiting_requests
        return {
            "state": "error" if self.station.failure else "busy" if busy else "ready",
            "not_ready": self.not_ready(),
            "problems": problems,
            "started_at": self.started_at,
            "queue": {
                "requests": self.station.waiting_requests,
                "request_limit": self.station.settings.request_queue,
                "files": self.journal.count_unfinished(),
                "under_way": self.station.under_way,
            },
            **self.tally.as_json(),
            "products": [self.products.named(name).as_json() for name in self.products.names()],
            "health": self.health.lamps(),
            "sources": [source.as_json() for source in self.sources],
            "sinks": [delivery.as_json() for delivery in self.deliveries],
        }

    def _heard(self, record: Any) -> None:
        self.tally.add(record)
        for delivery in self.deliveries:
            delivery.wake()
        level = logging.WARNING if record.verdict == "error" else logging.INFO
        _log.log(
            level,
            "part %d is %s",
            record.number,
            record.verdict,
            extra={
                "number": record.number,
                "scan": record.scan,
                "part_id": record.part_id,
                "product": record.product,
                "verdict": record.verdict,
                "score": record.score,
                **({"error": record.result["error"]["message"]} if "error" in record.result else {}),
            },
        )

    def _swapped(self, product: Product, before: str | None) -> None:
        assert product.loaded is not None
        manifest = product.loaded.inspector.bundle.manifest
        self.health.begin(product.name, manifest)
        details = {"product": product.name, "path": str(product.path)}
        append_audit(self.out / AUDIT_FILE, AuditEntry.now("swap", (), before, manifest.digest, details=details))
        _log.info("product %s has a new bundle", product.name, extra={"before": before, **details})

    def _repeat(self, work: Callable[[], object]) -> None:
        while not self._resting.is_set():
            try:
                work()
            except CmdiadError as error:
                self.station.stop(error)
            except Exception:
                _log.exception("housekeeping failed, and will be tried again")
            self._resting.wait(LOOK_SECONDS)

    def _keep_house(self) -> None:
        now = time.monotonic()
        self._change.look()
        if now >= self._enforce_at:
            self.retention.enforce()
            self._enforce_at = now + _RETENTION_SECONDS
        if now >= self._return_at:
            return_freed_memory()
            self._return_at = now + _FREED_MEMORY_SECONDS


def _products(file: LineFile, base: Path, swapped: Callable[[Product, str | None], None]) -> Products:
    """All products with their bundles, each verified, and signed by whom the line trusts."""
    line = file.line
    keys = tuple(str(placed(base, name)) for name in line.require_signature)
    trusted = find_trusted(keys)
    settings = InspectorSettings(line.provider, line.threads, line.graph, line.allow_any_size, keys)
    products = [_product(table, base) for table in file.product]
    return Products(products, settings, swapped, lambda path: open_bundle(path, trusted))


def _product(table: ProductTable, base: Path) -> Product:
    return Product(table.name, placed(base, table.bundle), table.threshold, table.follow)


def _camera(table: CameraTable, base: Path) -> CameraSettings:
    require_harvesters()
    return CameraSettings(table.name, placed(base, table.producer), table.serial, table.product, table.wait_seconds)


def _folder(table: FolderTable, file: LineFile, base: Path, out: Path, products: Products) -> FolderSettings:
    with products.used(table.product) as (_, loaded):
        manifest = loaded.inspector.bundle.manifest
        suffixes = input_suffixes(modalities(manifest), manifest.geometry)
    return FolderSettings(
        name=table.name,
        path=placed(base, table.path),
        rejected=out / REJECTED,
        suffixes=suffixes,
        product=table.product,
        recursive=table.recursive,
        after=table.after,
        done=None if table.done is None else placed(base, table.done),
        settle_seconds=table.settle_seconds,
        poll_seconds=table.poll_seconds,
        skips_existing=table.existing == "skip",
        own=frozenset(os.path.realpath(place) for place in _own_places(file, base, out)),
    )


def _own_places(file: LineFile, base: Path, out: Path) -> list[Path]:
    """The folders that a line uses, which may lie in a hot folder."""
    names = [name for folder in file.folder for name in (folder.path, folder.done)]
    names += [table.trigger_folder for table in file.opcua]
    return [out, *(placed(base, name) for name in names if name is not None)]
