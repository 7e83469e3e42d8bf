"""Memory, clocks and power while a scenario runs, sampled from a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import msgspec

from ...proc import peak_resident_bytes, resident_bytes
from .nvidia import GpuSample, Nvidia, throttle_names

PERIOD_S = 0.5


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """How a quantity went: its least, mean and largest sample."""

    min: float
    mean: float
    max: float


class GpuReadings(msgspec.Struct, frozen=True, kw_only=True):
    """An NVIDIA device during one scenario; None where it does not tell."""

    memory_mb: Range | None
    utilization_percent: Range | None
    sm_clock_mhz: Range | None
    memory_clock_mhz: Range | None
    power_w: Range | None
    temperature_c: Range | None
    throttle_reasons: list[str]
    energy_j_a_part: float | None


class Readings(msgspec.Struct, frozen=True, kw_only=True):
    """The machine during one scenario.

    Attributes:
        samples: how many were taken, one every 0.5 s.
        host_memory_mb: resident memory of the measuring process.
        host_memory_peak_mb: the most it ever held, opening the bundle included.
        cpu_clock_mhz: mean over the processors; None where the system does not tell.
        gpu: None where none was used or it cannot be asked.
    """

    samples: int
    host_memory_mb: Range | None
    host_memory_peak_mb: float | None
    cpu_clock_mhz: Range | None
    gpu: GpuReadings | None


class Monitor:
    """A thread that samples while the block runs; `readings` tells afterwards."""

    def __init__(self, nvidia: Nvidia | None, period_s: float = PERIOD_S) -> None:
        self._nvidia, self._period_s = nvidia, period_s
        self._memory: list[float] = []
        self._clock: list[float] = []
        self._gpu: list[GpuSample] = []
        self._energy: list[float] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Monitor:
        self._note_energy()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        self._note_energy()

    def readings(self, parts: int) -> Readings:
        """What was seen while `parts` parts were inspected."""
        return Readings(
            samples=len(self._memory),
            host_memory_mb=_range(self._memory),
            host_memory_peak_mb=_in_mb(peak_resident_bytes()),
            cpu_clock_mhz=_range(self._clock),
            gpu=self._gpu_readings(parts) if self._gpu else None,
        )

    def _watch(self) -> None:
        while True:
            self._memory += _known(_in_mb(resident_bytes()))
            self._clock += _known(cpu_clock_mhz())
            if self._nvidia is not None:
                self._gpu.append(self._nvidia.sample())
            if self._done.wait(self._period_s):
                return

    def _note_energy(self) -> None:
        if self._nvidia is not None:
            self._energy += _known(self._nvidia.energy_j())

    def _gpu_readings(self, parts: int) -> GpuReadings:
        mask = 0
        for sample in self._gpu:
            mask |= sample.throttle_reasons
        used = self._energy[-1] - self._energy[0] if len(self._energy) == 2 else None
        names = ("memory_mb", "utilization_percent", "sm_clock_mhz", "memory_clock_mhz", "power_w", "temperature_c")
        ranges = {
            name: _range([value for sample in self._gpu for value in _known(getattr(sample, name))]) for name in names
        }
        return GpuReadings(
            **ranges,
            throttle_reasons=throttle_names(mask),
            energy_j_a_part=None if used is None or not parts else used / parts,
        )


def _in_mb(size: int | None) -> float | None:
    return None if size is None else size / 1e6


def cpu_clock_mhz() -> float | None:
    """Mean clock of the processors; None where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    clocks = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    return sum(clocks) / len(clocks) if clocks else None


def _known(value: float | None) -> list[float]:
    return [] if value is None else [value]


def _range(values: Iterable[float]) -> Range | None:
    held = list(values)
    return Range(min=min(held), mean=sum(held) / len(held), max=max(held)) if held else None
