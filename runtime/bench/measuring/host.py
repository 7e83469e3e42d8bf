"""What the figures were measured on: everything needed to compare two reports."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import msgspec

from ...acceptance.doctor import installed_version
from ...engines.gpu_wheel import ONNX_RUNTIMES
from ...proc import cpu_name, total_memory_bytes
from ...threads import usable_processors

PACKAGES = (
    "cmdiad",
    "numpy",
    "scipy",
    *ONNX_RUNTIMES,
    "tensorrt",
    "tensorrt_rtx",
    "mlcommons-loadgen",
)


class HostGpu(msgspec.Struct, frozen=True, kw_only=True):
    """An NVIDIA device, as its driver describes it."""

    name: str
    driver: str
    cuda: str
    compute_capability: str
    memory_mb: float
    power_limit_w: float | None


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """The machine that was measured on: its processor, system and versions.

    Attributes:
        cpu: the processor's name.
        cores: processors that this process may use.
        cpu_governor: how the kernel chooses clocks; None where it does not say.
        memory_mb: of the machine.
        load_1min: processes that wanted to run when the measurement began; None where not known.
        versions: of what was installed.
    """

    cpu: str
    cores: int
    cpu_governor: str | None
    memory_mb: float | None
    system: str
    python: str
    load_1min: float | None
    versions: dict[str, str]


def describe_host() -> Host:
    """The machine as it is now.

    Example:
        >>> describe_host().cores >= 1
        True
    """
    governor = _first_line(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"))
    return Host(
        cpu=cpu_name(),
        cores=usable_processors(),
        cpu_governor=governor,
        memory_mb=_total_memory_mb(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        load_1min=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        versions={name: held for name in PACKAGES if (held := installed_version(name)) is not None},
    )


def _total_memory_mb() -> float | None:
    total = total_memory_bytes()
    if total is not None:
        return total / 1e6
    if sys.platform != "win32" and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e6
    return None


def _first_line(file: Path) -> str | None:
    try:
        return file.read_text().splitlines()[0].strip()
    except (OSError, IndexError):
        return None
