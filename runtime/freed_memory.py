"""Keep a process that runs for months small: otherwise glibc keeps the memory of replaced bundles for good."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
# Larger blocks (banks) are mapped, and given back when they are freed. The arrays of a scan of 400 x 400 pixels are
# smaller; to map those of 800 x 800 anew for every part takes one to four milliseconds.
_MAPPED_BYTES = 4 << 20
# What stays as long as a bundle does: initializers, packed weights, banks. A mapping takes whole pages of 4 KB.
_MAPPED_BYTES_OF_A_BUNDLE = 32 << 10
# With one, threads that search neighbors wait for each other: grouping took 2 ms of 28 longer.
_HEAPS = 2


def return_freed_memory() -> bool:
    """Give the system the pages that nothing in this process uses; False where the C library has no such call.

    ONNX Runtime's sessions and a scan's arrays are blocks on many heaps, one for nearly every thread. Freed, their
    pages stay resident between what is still in use, and the next bundle's sessions, opened by another thread, do not
    take their places. This takes some milliseconds, in which other threads may wait for memory, so it is nothing for
    every part. glibc has it (`malloc_trim`); musl, macOS and Windows do not.
    """
    trim = _of_glibc("malloc_trim")
    if trim is None:
        return False
    trim.argtypes, trim.restype = (ctypes.c_size_t,), ctypes.c_int
    trim(0)
    return True


def keep_few_heaps() -> bool:
    """Let all threads from now on share two heaps; False where the C library has no such setting.

    glibc gives nearly every thread a heap of its own, up to eight a processor. A service's threads come and go, and
    what each leaves behind on its heap is of no use to the others: after a bundle was replaced a service stays larger.
    And it puts blocks of up to 32 MB on a heap once one of that size was freed, so that the next bundle's banks lie
    between what every part takes; that is held to 4 MB here, and to 8 MB what stays free at the heap's end.
    """
    trimmed = (_M_TRIM_THRESHOLD, 2 * _MAPPED_BYTES)
    return all(
        _set_option(*setting) for setting in ((_M_ARENA_MAX, _HEAPS), trimmed, (_M_MMAP_THRESHOLD, _MAPPED_BYTES))
    )


@contextmanager
def bundle_off_the_heaps() -> Iterator[None]:
    """Open a bundle in this block: its blocks are mapped one by one, and give their pages back when it is replaced.

    On a heap they leave gaps behind, over which the arrays of every later part are scattered: the process stays larger
    by what is between them. Goes with `keep_few_heaps`, whose limit holds again after the block; one thread at a time.
    """
    _set_option(_M_MMAP_THRESHOLD, _MAPPED_BYTES_OF_A_BUNDLE)
    try:
        yield
    finally:
        _set_option(_M_MMAP_THRESHOLD, _MAPPED_BYTES)


def _set_option(option: int, value: int) -> bool:
    set_option = _of_glibc("mallopt")
    if set_option is None:
        return False
    set_option.argtypes, set_option.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    return bool(set_option(option, value))


def _of_glibc(name: str) -> Any | None:
    """A function of the C library; None where it has none of that name."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):  # TypeError: Windows takes no None
        return None
