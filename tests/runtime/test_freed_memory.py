"""Memory that was freed goes back to the system."""

from __future__ import annotations

import ctypes
import sys

import pytest
from cmdiad.runtime.freed_memory import return_freed_memory
from cmdiad.runtime.proc import proc_field


def resident_kilobytes() -> int:
    return int((proc_field("self/status", "VmRSS") or "0").split()[0])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's heaps")
def test_pages_between_what_is_still_in_use_go_back_to_the_system() -> None:
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "malloc_trim"):
        assert return_freed_memory() is False
        return
    libc.malloc.restype = libc.memset.restype = ctypes.c_void_p
    libc.malloc.argtypes, libc.free.argtypes = (ctypes.c_size_t,), (ctypes.c_void_p,)
    libc.memset.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
    # Small enough for the heap; the last block, in use, keeps it from shrinking by itself.
    blocks = [libc.malloc(60_000) for _ in range(1000)]
    for block in blocks:
        libc.memset(block, 1, 60_000)
    for block in blocks[:-1]:
        libc.free(block)
    before = resident_kilobytes()
    assert return_freed_memory() is True
    assert before - resident_kilobytes() > 30_000
    libc.free(blocks[-1])
