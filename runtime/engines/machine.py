"""What NVIDIA hardware and driver this machine has, asked of the driver's own libraries; nothing else is needed."""

from __future__ import annotations

import ctypes
import platform
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

_CUDA_SUCCESS = 0
# cuda.h: CUdevice_attribute.
_MAJOR, _MINOR = 75, 76
_NAME_BYTES = 96


@dataclass(frozen=True)
class Gpu:
    """One CUDA device.

    Attributes:
        name: the model.
        target: its compute capability, such as sm86.
        memory_bytes: all of its memory.
    """

    name: str
    target: str
    memory_bytes: int


@dataclass(frozen=True)
class Machine:
    """What decides which engines run here.

    Attributes:
        gpus: the CUDA devices, in CUDA's order.
        cuda_driver: the newest CUDA version the driver supports, 1000 major + 10 minor; 0 without a driver.
        driver: the driver's own version; empty without one.
        platform: operating system and processor, such as linux-x86_64.
    """

    gpus: tuple[Gpu, ...]
    cuda_driver: int
    driver: str
    platform: str

    @property
    def target(self) -> str | None:
        """The compute capability of the first device, on which everything runs."""
        return self.gpus[0].target if self.gpus else None

    def cuda_in_words(self) -> str:
        """The newest CUDA version of the driver, such as 13.0."""
        return f"{self.cuda_driver // 1000}.{self.cuda_driver % 1000 // 10}"


def this_machine() -> Machine:
    """Ask the driver; without one there is no GPU, which is no error."""
    cuda, nvml = _load("libcuda.so.1", "nvcuda.dll"), _load("libnvidia-ml.so.1", "nvml.dll")
    return Machine(
        gpus=() if cuda is None else read_gpus(cuda),
        cuda_driver=0 if cuda is None else read_cuda_version(cuda),
        driver="" if nvml is None else read_driver_version(nvml),
        platform=platform_name(),
    )


def platform_name() -> str:
    """Operating system and processor, such as linux-x86_64."""
    machine = platform.machine().lower()
    return f"{platform.system().lower()}-{'x86_64' if machine == 'amd64' else machine}"


def read_cuda_version(cuda: Any) -> int:
    """The newest CUDA version that the driver library supports, 1000 major + 10 minor; 0 where it does not tell."""
    version = ctypes.c_int(0)
    answer = cuda.cuDriverGetVersion(ctypes.byref(version))
    return version.value if answer == _CUDA_SUCCESS else 0


def read_gpus(cuda: Any) -> tuple[Gpu, ...]:
    """The devices that the driver library shows; none where it cannot be started."""
    count = ctypes.c_int(0)
    if cuda.cuInit(0) != _CUDA_SUCCESS or cuda.cuDeviceGetCount(ctypes.byref(count)) != _CUDA_SUCCESS:
        return ()
    return tuple(gpu for gpu in (_read_gpu(cuda, number) for number in range(count.value)) if gpu is not None)


def read_driver_version(nvml: Any) -> str:
    """The driver's own version, such as 580.65.06; empty where it does not tell."""
    version = ctypes.create_string_buffer(_NAME_BYTES)
    if nvml.nvmlInit_v2() != 0:
        return ""
    try:
        answer = nvml.nvmlSystemGetDriverVersion(version, _NAME_BYTES)
        return version.value.decode(errors="replace") if answer == 0 else ""
    finally:
        nvml.nvmlShutdown()


def _read_gpu(cuda: Any, number: int) -> Gpu | None:
    device, name = ctypes.c_int(0), ctypes.create_string_buffer(_NAME_BYTES)
    major, minor, memory = ctypes.c_int(0), ctypes.c_int(0), ctypes.c_size_t(0)
    answers = (
        cuda.cuDeviceGet(ctypes.byref(device), number),
        cuda.cuDeviceGetName(name, _NAME_BYTES, device),
        cuda.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device),
        cuda.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device),
        cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device),
    )
    if any(answer != _CUDA_SUCCESS for answer in answers):
        return None
    return Gpu(name.value.decode(errors="replace"), f"sm{major.value}{minor.value}", memory.value)


def _load(linux: str, windows: str) -> Any:
    with suppress(OSError):
        return ctypes.CDLL(windows if sys.platform == "win32" else linux)
    return None
