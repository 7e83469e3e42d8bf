"""An NVIDIA device as nvidia-ml-py (extra `bench`) sees it; nothing here runs before it is asked for."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from ...engines.opening import hardware_of
from ...engines.providers import NVIDIA_GPU
from .host import HostGpu

T = TypeVar("T")
INSTALL = "pip install 'cmdiad[bench]'"
# What NVML's bit masks of clock throttling stand for (nvml.h, nvmlClocksEventReasons); idle is not throttling.
THROTTLE_REASONS = {
    0x0000000000000002: "applications_clocks_setting",
    0x0000000000000004: "sw_power_cap",
    0x0000000000000008: "hw_slowdown",
    0x0000000000000010: "sync_boost",
    0x0000000000000020: "sw_thermal_slowdown",
    0x0000000000000040: "hw_thermal_slowdown",
    0x0000000000000080: "hw_power_brake_slowdown",
    0x0000000000000100: "display_clock_setting",
}


class GpuSample(msgspec.Struct, frozen=True, kw_only=True):
    """The device at one moment; None where it does not tell."""

    memory_mb: float | None
    utilization_percent: float | None
    sm_clock_mhz: float | None
    memory_clock_mhz: float | None
    power_w: float | None
    temperature_c: float | None
    throttle_reasons: int


class Nvidia:
    """The device that this process uses: the first of CUDA_VISIBLE_DEVICES, else device 0."""

    def __init__(self, nvml: Any) -> None:
        """Open NVML, already imported; its own error where there is no driver or no such device."""
        self._nvml = nvml
        nvml.nvmlInit()
        chosen = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip() or "0"
        self._handle = (
            nvml.nvmlDeviceGetHandleByIndex(int(chosen)) if chosen.isdigit() else nvml.nvmlDeviceGetHandleByUUID(chosen)
        )

    def describe(self) -> HostGpu:
        """Its name, driver and limits."""
        nvml, handle = self._nvml, self._handle
        major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
        cuda = nvml.nvmlSystemGetCudaDriverVersion()
        limit = self._ask(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle))
        return HostGpu(
            name=str(nvml.nvmlDeviceGetName(handle)),
            driver=str(nvml.nvmlSystemGetDriverVersion()),
            cuda=f"{cuda // 1000}.{cuda % 1000 // 10}",
            compute_capability=f"{major}.{minor}",
            memory_mb=nvml.nvmlDeviceGetMemoryInfo(handle).total / 1e6,
            power_limit_w=None if limit is None else limit / 1e3,
        )

    def sample(self) -> GpuSample:
        """What it does at this moment."""
        nvml, handle = self._nvml, self._handle
        memory = self._ask(lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used)
        power = self._ask(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        return GpuSample(
            memory_mb=None if memory is None else memory / 1e6,
            utilization_percent=self._ask(lambda: float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)),
            sm_clock_mhz=self._ask(lambda: float(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM))),
            memory_clock_mhz=self._ask(lambda: float(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM))),
            power_w=None if power is None else power / 1e3,
            temperature_c=self._ask(lambda: float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))),
            throttle_reasons=self._ask(lambda: int(nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))) or 0,
        )

    def energy_j(self) -> float | None:
        """Energy since the driver was loaded; None on devices that do not count it."""
        total = self._ask(lambda: self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))
        return None if total is None else total / 1e3

    def _ask(self, question: Callable[[], T]) -> T | None:
        """An answer, or None where this device does not support the question."""
        try:
            return question()
        except self._nvml.NVMLError:
            return None


def open_nvidia(provider: str) -> tuple[Nvidia | None, str | None]:
    """The device that a provider uses, or why its figures are missing; neither where it runs on something else."""
    if hardware_of(provider) != NVIDIA_GPU:
        return None, None
    if importlib.util.find_spec("pynvml") is None:
        return None, f"nvidia-ml-py is not installed: {INSTALL}"
    nvml = importlib.import_module("pynvml")
    try:
        return Nvidia(nvml), None
    except nvml.NVMLError as cause:
        return None, f"NVML does not answer: {cause}"


def throttle_names(mask: int) -> list[str]:
    """The reasons for lowered clocks in a mask, by name."""
    return [name for bit, name in THROTTLE_REASONS.items() if mask & bit]
