"""The system under test: a bundle's whole inspection, from the file on disk to score and map in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ...engines.opening import runs_on_device
from ...inspector import Inspector
from ...stream import inspect_stream
from .configuration import Configuration


class BundleUnderTest:
    """An opened bundle with the scans that it inspects, over and over."""

    def __init__(self, inspector: Inspector, scans: Sequence[Path]) -> None:
        self._inspector, self._scans = inspector, scans
        self.batch = inspector.batch

    @property
    def n_scans(self) -> int:
        """See `driver.SystemUnderTest`."""
        return len(self._scans)

    def process(self, numbers: Sequence[int]) -> dict[str, float]:
        """See `driver.SystemUnderTest`."""
        seconds: Counter[str] = Counter()
        for outcome in inspect_stream(self._inspector, (self._scans[number] for number in numbers)):
            if outcome.error is not None:
                raise outcome.error
            assert outcome.inspection is not None
            seconds.update(outcome.inspection.seconds)
        return dict(seconds)


def open_inspector(configuration: Configuration, path: Path) -> Inspector:
    """Load a bundle as a configuration says; `path` is where it, or its reduced copy, lies.

    Raises:
        EngineError: the provider or the batch cannot be had.
        BundleError: the bundle is missing, changed or not calibrated.
    """
    return Inspector.load(
        path,
        configuration.provider,
        configuration.threads,
        cuda_graph=configuration.cuda_graph,
        graph=configuration.graph,
        batch=configuration.batch,
    )


def timing_conditions(configuration: Configuration) -> dict[str, str]:
    """What is in the figures and what is not, for readers who compare with other tools."""
    on_cpu = not runs_on_device(configuration.provider)
    return {
        "measured": "from the scan's file to score and map in memory; heat-map files are not written",
        "files": "read from disk each time, in the system's page cache after warm-up",
        "synchronization": "a network's call returns when its outputs are in host memory",
        "transfers": "none" if on_cpu else "included, to the device and back",
        "cuda_graphs": "for networks of fixed shape" if configuration.cuda_graph else "none",
        "spin_waiting": "ONNX Runtime's CPU threads spin between operators"
        if on_cpu
        else "the provider's default: the CUDA driver decides",
        "batching": f"up to {configuration.batch} part{'s' if configuration.batch > 1 else ''} in a call",
    }
