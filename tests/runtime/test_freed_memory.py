"""Memory that was freed goes back to the system."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest
from cmdiad.runtime.freed_memory import keep_few_heaps, return_freed_memory
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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's heaps")
def test_threads_share_two_heaps() -> None:
    if not hasattr(ctypes.CDLL(None), "malloc_stats"):
        assert keep_few_heaps() is False
        return
    assert heaps_of_a_process_with_many_threads("") > 3
    assert heaps_of_a_process_with_many_threads("assert keep_few_heaps()") == 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's heaps")
def test_large_blocks_are_on_no_heap_even_after_such_a_one_was_freed() -> None:
    if not hasattr(ctypes.CDLL(None), "mallinfo2"):
        pytest.skip("glibc before 2.33 does not say how much is mapped")
    assert mapped_bytes_of_a_process("", 20_000_000) < 20_000_000
    assert mapped_bytes_of_a_process("keep_few_heaps()", 20_000_000) >= 20_000_000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's heaps")
def test_what_stays_with_a_bundle_is_on_no_heap_and_what_comes_after_it_is() -> None:
    if not hasattr(ctypes.CDLL(None), "mallinfo2"):
        pytest.skip("glibc before 2.33 does not say how much is mapped")
    opened = "keep_few_heaps()\nopening = bundle_off_the_heaps()\nopening.__enter__()\n"
    # The first of them may still fit into what is free on a heap.
    assert mapped_bytes_of_a_process(opened, 100_000, 200) >= 15_000_000
    assert mapped_bytes_of_a_process(opened + "opening.__exit__(None, None, None)", 100_000, 200) == 0


def mapped_bytes_of_a_process(first: str, size: int, count: int = 1) -> int:
    """How many bytes of blocks of a size are mapped, after one of 30 MB was freed."""
    program = f"""
import ctypes
from cmdiad.runtime.freed_memory import bundle_off_the_heaps, keep_few_heaps
{first}
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd".split()]
    _fields_ += [(f"other_{{number}}", ctypes.c_size_t) for number in range(5)]
libc.mallinfo2.restype = Info
libc.free(libc.malloc(30_000_000))
before = libc.mallinfo2().hblkhd
for _ in range({count}): libc.malloc({size})
print(libc.mallinfo2().hblkhd - before)
"""
    return int(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)


def heaps_of_a_process_with_many_threads(first: str) -> int:
    """How many heaps glibc says that it has after sixteen threads allocated at the same time."""
    program = f"""
import ctypes, threading
from cmdiad.runtime.freed_memory import keep_few_heaps
{first}
libc, all_here = ctypes.CDLL(None), threading.Barrier(16)
libc.malloc.restype = ctypes.c_void_p
def allocate():
    all_here.wait()
    libc.malloc(20_000)
    all_here.wait()
threads = [threading.Thread(target=allocate) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.malloc_stats()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stderr.count("Arena ")
