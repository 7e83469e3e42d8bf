"""Memory that was freed goes back to the system: else glibc keeps what a replaced bundle took, for good."""

from __future__ import annotations

import ctypes


def return_freed_memory() -> bool:
    """Give the system the pages that nothing in this process uses; False where the C library has no such call.

    ONNX Runtime's sessions and a scan's arrays are blocks on many heaps, one for nearly every thread. Freed, their
    pages stay resident between what is still in use, and the next bundle's sessions, opened by another thread, do not
    take their places. This takes some milliseconds, in which other threads may wait for memory, so it is nothing for
    every part. glibc has it (`malloc_trim`); musl, macOS and Windows do not.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # TypeError: Windows takes no None
        return False
    trim.argtypes, trim.restype = (ctypes.c_size_t,), ctypes.c_int
    trim(0)
    return True
