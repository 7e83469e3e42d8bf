"""One version of a model on a Triton server: a bundle that has passed its self-test, and answers whole batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, cast, get_args

from ..acceptance.selftest import run_selftest
from ..bundle.reading import Bundle, open_bundle, require_calibration
from ..bundle.signature import find_trusted
from ..choices import Graph
from ..errors import BundleError, CmdiadError, ParityError, ScanError, UsageError, as_cmdiad_error, naming_scan
from ..inspection import Inspection
from ..inspector import Inspector, ReadyScan
from ..line_graph import prefers_line_graph
from ..threads import thread_count
from .tensors import Array, SentPart, output_tensors

FOLDER, ARCHIVE = "bundle", "bundle.cmdiad"
Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True)
class ServedSettings:
    """How a model serves: the parameters of its config.pbtxt.

    Attributes:
        provider: what runs the networks, see `Inspector.load`.
        graph: likewise.
        threads: CPU threads of one instance; None: an equal share of all that the process may use.
        max_request_mb: the most that one request may hold.
        max_batch: how many requests come together, at most: config.pbtxt's `max_batch_size`.
        instances: how many instances there are, each in a process of its own.
    """

    provider: str = "cpu"
    graph: Graph = "auto"
    threads: int | None = None
    max_request_mb: float = 256.0
    max_batch: int = 8
    instances: int = 1

    @classmethod
    def of(cls, parameters: Mapping[str, str], max_batch: int = 8, instances: int = 1) -> ServedSettings:
        """The settings that config.pbtxt has; a parameter that is not there has its default.

        Raises:
            UsageError: a value makes no sense.
        """
        graph = parameters.get("graph", "auto")
        if graph not in get_args(Graph):
            raise UsageError(f"config.pbtxt: graph {graph!r}: choose one of {', '.join(get_args(Graph))}")
        threads, megabytes = _positive(parameters, "threads"), _positive(parameters, "max_request_mb")
        return cls(
            provider=parameters.get("provider", "cpu"),
            graph=cast("Graph", graph),
            threads=None if threads is None else math.ceil(threads),
            max_request_mb=cls.max_request_mb if megabytes is None else megabytes,
            max_batch=max(max_batch, 1),
            instances=max(instances, 1),
        )

    @property
    def own_threads(self) -> int:
        """CPU threads of one instance."""
        return self.threads or max(thread_count(None) // self.instances, 1)


class ServedModel:
    """A bundle at work; what it is asked comes from Triton, a batch at a time.

    Attributes:
        inspector: of the bundle.
        was_tested: whether the bundle has golden scans, which were repeated.
    """

    def __init__(self, inspector: Inspector, max_request_mb: float = 256.0, was_tested: bool = True) -> None:
        """Serve with an inspector, which is closed with this."""
        self.inspector, self.was_tested = inspector, was_tested
        self._most_bytes = int(max_request_mb * 1e6)
        self._pool = ThreadPoolExecutor(inspector.threads, "scan")

    @classmethod
    def open(cls, version: Path, settings: ServedSettings) -> ServedModel:
        """Verify the bundle of a version, repeat its golden scans as inspections will run, and open it.

        Args:
            version: the version's folder, with `bundle` or `bundle.cmdiad` in it.
            settings: of the model.

        Raises:
            BundleError: it is missing, changed, not calibrated, or not signed by whom $CMDIAD_REQUIRE_SIGNATURE says.
            EngineError: the provider is not available.
            ParityError: it does not compute on this machine what was validated.
        """
        bundle = open_bundle(bundle_of(version), find_trusted())
        require_calibration(bundle)
        is_line = settings.graph == "line" or (
            settings.graph == "auto" and prefers_line_graph(bundle, settings.provider)
        )
        was_tested = _pass_selftest(bundle, settings)
        inspector = Inspector(
            bundle,
            settings.provider,
            settings.own_threads,
            graph=settings.graph,
            batch=settings.max_batch if is_line else 1,
        )
        return cls(inspector, settings.max_request_mb, was_tested)

    def answer(self, requests: Sequence[Mapping[str, Array]]) -> list[dict[str, Array] | CmdiadError]:
        """The tensors of every answer, or why there is none; no request spoils another's.

        Args:
            requests: input tensors by name, see `tensors.py`.
        """
        sent = [_or_error(lambda request: SentPart.of(request, self._most_bytes), request) for request in requests]
        ready = list(self._pool.map(lambda part: _or_error(self._read, part), sent))
        inspections = self._finish(ready)
        together = zip(sent, inspections, strict=True)
        return list(self._pool.map(lambda pair: _or_error(self._tensors, pair), together))

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()
        self.inspector.close()

    def _read(self, part: SentPart | CmdiadError) -> ReadyScan:
        if isinstance(part, CmdiadError):
            raise part
        with naming_scan(part.name):
            if part.data is not None:
                ready = self.inspector.read_bytes(part.data, part.image)
            else:
                ready = self.inspector.read_arrays(part.points, part.rgb)
        return replace(ready, part_id=part.part_id)

    def _finish(self, scans: Sequence[ReadyScan | CmdiadError]) -> list[Inspection | CmdiadError]:
        """One batch of all that could be read; if that fails, one by one, so that each has an answer of its own."""
        ready = [scan for scan in scans if isinstance(scan, ReadyScan)]
        try:
            inspections: list[Inspection | CmdiadError] = [*self.inspector.finish_batch(ready)] if ready else []
        except Exception:
            inspections = [_or_error(self.inspector.finish, scan) for scan in ready]
        in_order = iter(inspections)
        return [next(in_order) if isinstance(scan, ReadyScan) else scan for scan in scans]

    def _tensors(self, pair: tuple[SentPart | CmdiadError, Inspection | CmdiadError]) -> dict[str, Array]:
        part, inspection = pair
        if isinstance(part, CmdiadError):
            raise part
        with naming_scan(part.name):
            if isinstance(inspection, CmdiadError):
                raise inspection
            if inspection.verdict == "error":
                # IS_DEFECT has no third value, and must not call a scan good of which something was not judged.
                raise ScanError("; ".join(str(one.error) for one in inspection.refused))
            return output_tensors(inspection, part.name, self.inspector.bundle.manifest.digest)


def bundle_of(version: Path) -> Path:
    """Where a version's bundle lies.

    Raises:
        BundleError: there is none.
    """
    for name in (FOLDER, ARCHIVE):
        if (version / name).exists():
            return version / name
    raise BundleError(f"{version}: holds neither {FOLDER} nor {ARCHIVE}: write it with `cmdiad export --triton`")


def _pass_selftest(bundle: Bundle, settings: ServedSettings) -> bool:
    """Repeat the golden scans; False where the bundle has none.

    Raises:
        ParityError: a stage is not within its tolerance.
    """
    if not any(name.startswith("golden/") for name in bundle.manifest.files):
        return False
    report = run_selftest(bundle, settings.provider, settings.own_threads, graph=settings.graph)
    failed = [comparison for comparison in report.comparisons if not comparison.passed]
    if failed:
        raise ParityError(
            f"{bundle.path}: fails its self-test on this machine at {len(failed)} of {len(report.comparisons)} stages, "
            f"first {failed[0].stage} of the {failed[0].case} scan: run `cmdiad-rt selftest` and see what differs"
        )
    return True


def _or_error(step: Callable[[Given], Made], given: Given) -> Made | CmdiadError:
    """What a step makes, or the error that it ends with."""
    try:
        return step(given)
    except Exception as error:
        return as_cmdiad_error(error)


def _positive(parameters: Mapping[str, str], name: str) -> float | None:
    """A number of config.pbtxt; None where it is not there.

    Raises:
        UsageError: it is not a positive number.
    """
    text = parameters.get(name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise UsageError(f"config.pbtxt: {name} {text!r}: give a positive number")
    return value
