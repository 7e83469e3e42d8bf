"""The system under test: a bundle's whole inspection, from the scan's file to the verdict and the files of its maps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ...bundle.reading import Bundle
from ...choices import Written
from ...engines.opening import runs_on_device
from ...inspector import Inspector
from ...stream import inspect_stream
from .configuration import Configuration

_END: dict[Written, str] = {
    "all": "from the scan's file to heat map and raw map on disk, in the folder for temporary files",
    "defects": "from the scan's file to score and map; of defects to heat map and raw map on disk",
    "none": "from the scan's file to score and map in memory; heat map and raw map are not written",
}


class BundleUnderTest:
    """An opened bundle with the scans that it inspects, over and over."""

    def __init__(
        self, inspector: Inspector, scans: Sequence[Path], out: Path | None = None, written: Written = "all"
    ) -> None:
        """Put them together; heat maps and maps are written into `out`, as `inspect_stream` does."""
        self._inspector, self._scans, self._out, self._written = inspector, scans, out, written
        self.batch = inspector.batch

    @property
    def n_scans(self) -> int:
        """See `driver.SystemUnderTest`."""
        return len(self._scans)

    def process(self, numbers: Sequence[int]) -> dict[str, float]:
        """See `driver.SystemUnderTest`."""
        seconds: Counter[str] = Counter()
        for stages in self.stream(numbers):
            seconds.update(stages)
        return dict(seconds)

    def stream(self, numbers: Iterable[int]) -> Iterator[dict[str, float]]:
        """See `driver.SystemUnderTest`."""
        scans = (self._scans[number] for number in numbers)
        seconds: Counter[str] = Counter()
        for outcome in inspect_stream(self._inspector, scans, self._out, self._written):
            if outcome.error is not None:
                raise outcome.error
            assert outcome.inspection is not None
            seconds.update(outcome.inspection.seconds)
            if outcome.part == outcome.parts:
                yield dict(seconds)
                seconds.clear()


def open_inspector(configuration: Configuration, bundle: Bundle, side_by_side: bool = False) -> Inspector:
    """Open a bundle's networks and banks as a configuration says.

    Args:
        configuration: how.
        bundle: the one of the configuration, or its reduced copy.
        side_by_side: as `infer` loads it for many scans.

    Raises:
        EngineError: the provider or the batch cannot be had.
        BundleError: the bundle is not calibrated.
    """
    return Inspector(
        bundle,
        configuration.provider,
        configuration.threads,
        cuda_graph=configuration.cuda_graph,
        graph=configuration.graph,
        batch=configuration.batch,
        side_by_side=side_by_side,
    )


_CAPTURED = {None: "where the provider can", True: "for networks of few shapes", False: "none"}


def timing_conditions(configuration: Configuration) -> dict[str, str]:
    """What is in the figures and what is not, for readers who compare with other tools."""
    on_cpu = not runs_on_device(configuration.provider)
    return {
        "measured": _END[configuration.heatmaps],
        "offline": "reading, networks and writing overlap between parts, as when `infer` is given many scans",
        "files": "read from disk each time, in the system's page cache after warm-up",
        "synchronization": "a call of a network returns when its outputs are in host memory",
        "transfers": "none" if on_cpu else "included, to the device and back",
        "cuda_graphs": "none" if on_cpu else _CAPTURED[configuration.cuda_graph],
        "spin_waiting": "ONNX Runtime's CPU threads spin between operators"
        if on_cpu
        else "the provider's default: the CUDA driver decides",
        "batching": f"up to {configuration.batch} part{'s' if configuration.batch > 1 else ''} per call",
    }
