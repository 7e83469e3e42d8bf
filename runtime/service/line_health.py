"""Drift on a line: every result is measured, its bundle's monitor hears of it, and what it says is part of the result.

A monitor's state is kept in the journal every so often, with the number of the last result it heard of; after a restart
the results since then are told again, so that nothing is missed and nothing counts twice.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import msgspec

from ..bundle.manifest import Manifest
from ..errors import UsageError
from ..health.drift_monitor import DriftMonitor
from ..health.measures import SENSOR_MEASURES, measures_of
from ..inspection import Inspection
from .arrival import PartRecord
from .journal import Journal
from .journal_record import RECORD_COLUMNS
from .products import Loaded

_KEPT_EVERY = 50
_AT_ONCE = 1000

_log = logging.getLogger("cmdiad.line")


class _Watched:
    """One product's monitor, for the bundle at work."""

    def __init__(self, monitor: DriftMonitor, digest: str, last: int) -> None:
        self.monitor, self.digest, self.last = monitor, digest, last
        self.unkept = 0


class LineHealth:
    """The monitors of a line, one a product; a new bundle begins a new one."""

    def __init__(self, journal: Journal) -> None:
        """Nothing is watched before the first result of a product."""
        self._journal = journal
        self._lock = threading.Lock()
        self._watched: dict[str, _Watched] = {}

    def judged(self, record: PartRecord, inspection: Inspection | None, loaded: Loaded | None) -> PartRecord:
        """A result with what was measured of sensor, table and part, and the alarms that it gives."""
        if inspection is None or loaded is None or record.product is None:
            return record
        manifest = loaded.inspector.bundle.manifest
        calibration = manifest.calibration
        normal = None if calibration is None or calibration.health is None else calibration.health.plane_normal
        parts = inspection.parts or (inspection,)
        measured = [measures_of(part.view, part.origin, normal) for part in parts]
        with self._lock:
            watched = self._of(record.product, manifest)
            alarms = [
                alarm
                for part, measures in zip(parts, measured, strict=True)
                for alarm in watched.monitor.update(measures, part.score, part.is_defect)
            ]
            watched.last = record.number
            watched.unkept += 1
            if watched.unkept >= _KEPT_EVERY or alarms:
                self._keep(record.product, watched)
        for alarm in alarms:
            _log.warning("%s: %s", record.product, alarm.message, extra={"product": record.product, **asdict(alarm)})
        said = [{**asdict(alarm), "message": alarm.message} for alarm in alarms]
        result = {**record.result, **_with_health(record, measured), "drift_alarms": said}
        return msgspec.structs.replace(record, result=result)

    def lamps(self) -> list[dict[str, Any]]:
        """How every measure of every product stands."""
        with self._lock:
            return [
                {"product": product, **asdict(lamp)}
                for product, watched in self._watched.items()
                for lamp in watched.monitor.lamps()
            ]

    def problems(self) -> list[str]:
        """The measures that nobody has acknowledged since their alarm."""
        with self._lock:
            return [
                f"{product}: {lamp.measure} has drifted: see docs/drift.md"
                for product, watched in self._watched.items()
                for lamp in watched.monitor.lamps()
                if lamp.lamp == "alarm"
            ]

    def begin(self, product: str, manifest: Manifest) -> None:
        """Take up a product's monitor before its first part, so that its lamps are there."""
        with self._lock:
            self._of(product, manifest)

    def acknowledge(self, product: str, measure: str, is_new_normal: bool) -> None:
        """Switch a measure's lamp off; see `DriftMonitor.acknowledge`.

        Raises:
            UsageError: there is no such product or measure.
        """
        with self._lock:
            watched = self._watched.get(product)
            if watched is None:
                raise UsageError(f"drift: no part of product {product!r} was inspected yet")
            watched.monitor.acknowledge(measure, is_new_normal)
            self._keep(product, watched)

    def keep(self) -> None:
        """Keep all states in the journal."""
        with self._lock:
            for product, watched in self._watched.items():
                self._keep(product, watched)

    def _of(self, product: str, manifest: Manifest) -> _Watched:
        watched = self._watched.get(product)
        if watched is None or watched.digest != manifest.digest:
            watched = self._watched[product] = self._taken_up(product, manifest)
        return watched

    def _taken_up(self, product: str, manifest: Manifest) -> _Watched:
        baseline = None if manifest.calibration is None else manifest.calibration.health
        if baseline is None:
            _log.warning(
                "%s: its bundle does not say what sensor, table and parts measured at calibration, so drift is told "
                "against its first parts alone: calibrate it again",
                product,
            )
        last, _, state = (self._journal.note(_note(product)) or "").partition(" ")
        try:
            monitor = DriftMonitor.restored(state.encode() or None, manifest.digest, baseline)
        except UsageError as error:
            _log.warning("%s: the saved state of its drift monitor is ignored: %s", product, error)
            monitor = DriftMonitor(manifest.digest, baseline)
        is_number = last.isascii() and last.isdigit() and len(last) < 19
        watched = _Watched(monitor, manifest.digest, int(last) if is_number and monitor.parts else 0)
        self._tell_again(product, watched)
        return watched

    def _tell_again(self, product: str, watched: _Watched) -> None:
        """The results that the state kept last has not heard of."""
        query = (
            f"SELECT {RECORD_COLUMNS} FROM parts WHERE number > ? AND product = ? AND bundle = ? "
            "AND state = 'done' AND score IS NOT NULL ORDER BY number LIMIT ?"
        )
        while records := self._journal.records(query, (watched.last, product, watched.digest, _AT_ONCE)):
            for record in records:
                for told in _parts_of(record):
                    measures = {name: value for name, value in told["health"].items() if name in SENSOR_MEASURES}
                    watched.monitor.update(measures, told["score"], told["is_defect"])
                watched.last = record.number

    def _keep(self, product: str, watched: _Watched) -> None:
        self._journal.keep_notes({_note(product): f"{watched.last} {watched.monitor.state().decode()}"})
        watched.unkept = 0


def _with_health(record: PartRecord, measured: Sequence[dict[str, float | None]]) -> dict[str, Any]:
    """What was measured, where a result has it: of several parts with each of them."""
    if parts := record.result.get("parts"):
        return {"parts": [{**part, "health": health} for part, health in zip(parts, measured, strict=True)]}
    return {"health": measured[0]}


def _parts_of(record: PartRecord) -> list[dict[str, Any]]:
    """Score, verdict and measures of every part of a result."""
    whole = {"score": record.score, "is_defect": record.verdict == "defect", "health": record.result.get("health", {})}
    return [{**whole, **part} for part in record.result.get("parts", [{}])]


def _note(product: str) -> str:
    return f"drift {product}"
