"""What Linux says under /proc about this process and its machine; on other systems figures are None."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_PROC = Path("/proc")


def resident_bytes() -> int | None:
    """The resident memory of this process now, in bytes.

    Example:
        >>> resident = resident_bytes()
        >>> resident is None or resident > 1_000_000
        True
    """
    try:
        # A line of page counts, several times faster to read than `status`, for whoever samples often.
        pages = int((_PROC / "self" / "statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_resident_bytes() -> int | None:
    """The most resident memory that this process ever held, in bytes."""
    return _kibibytes(proc_field("self/status", "VmHWM"))


def total_memory_bytes() -> int | None:
    """The memory of the machine, in bytes."""
    return _kibibytes(proc_field("meminfo", "MemTotal"))


def cpu_name() -> str:
    """The processor's name, or at least its architecture."""
    return proc_field("cpuinfo", "model name") or platform.processor() or platform.machine()


def proc_field(file: str, field: str) -> str | None:
    """The value of the first `field: value` line of a file under /proc; None if there is none.

    Example:
        >>> proc_field("cpuinfo", "no such field") is None
        True
    """
    try:
        lines = (_PROC / file).read_text().splitlines()
    except OSError:
        return None
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in pairs if name.strip() == field), None)


def _kibibytes(text: str | None) -> int | None:
    """The bytes of a size such as `12345 kB`."""
    return None if text is None else int(text.split()[0]) * 1024
