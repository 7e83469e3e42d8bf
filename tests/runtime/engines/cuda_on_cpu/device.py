"""A `Device` whose kernels run on the processor: the very same sources, compiled by g++ with `shim.h`.

What is queued is done at `synchronize`, and not before, so that whoever reads or overwrites an array too early is found
out. Fresh memory holds garbage, and memory around each buffer must stay as it is.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import threading
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from cmdiad.runtime.engines.device import Buffer, Kernel, check_copy
from cmdiad.runtime.errors import EngineError

HERE = Path(__file__).resolve().parent
ORDERS = ("forward", "reverse", "shuffled")
GUARD, GARBAGE, UNTOUCHED = 256, 0xA5, 0x5C
COMPILER = shutil.which("c++") or shutil.which("g++")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no c++ or g++ on the PATH, which runs kernels on the CPU")
WARNINGS = ("-Wall", "-Wno-unknown-pragmas", "-Wno-unused-function", "-Wno-sign-compare")
FLAGS = ("-std=c++17", "-O2", "-ffp-contract=off", "-fPIC", "-shared", *WARNINGS)


class BarrierError(AssertionError):
    """Threads of a block do not meet."""


class CudaOnCpu:
    """Runs kernels on the processor, in an order of threads that is chosen.

    Attributes:
        log: what was called: (what, detail), such as ("upload", 4096) or ("launch", "farthest_points").
    """

    name = "cpu"
    stream = 0

    def __init__(self, libraries, order="forward", seed=0, fails=None, flags=()):
        """Start.

        Args:
            libraries: the folder of compiled kernels; tests share it.
            order: in which the threads of a block run.
            seed: of the order, if it is shuffled.
            fails: what fails, and at the how manieth call: ("allocate", 2, EngineError("...")); the device is lost
                from then on unless it is `allocate` or `pinned`.
            flags: of the compiler, besides.
        """
        self.log, self.live = [], {}
        self.turn = threading.RLock()
        self._libraries, self._order, self._seed, self._flags = Path(libraries), ORDERS.index(order), seed, flags
        self._fails, self._lost, self._calls, self._queue = fails, None, Counter(), []

    def allocate(self, nbytes):
        self._called("allocate", nbytes)
        memory = np.full(nbytes + 2 * GUARD, UNTOUCHED, np.uint8)
        memory[GUARD : GUARD + nbytes] = GARBAGE
        pointer = memory.ctypes.data + GUARD
        self.live[pointer] = memory
        return Buffer(pointer, nbytes, partial(self.live.pop))

    def pinned(self, shape, dtype):
        self._called("pinned", shape)
        array = np.empty(shape, dtype)
        array.view(np.uint8)[...] = GARBAGE
        return array

    def upload(self, host, buffer, offset=0):
        check_copy(host, buffer, offset)
        self._called("upload", host.nbytes)
        self._queue.append(lambda: self._bytes(buffer, offset, host.nbytes).__setitem__(slice(None), _flat(host)))

    def download(self, buffer, host, offset=0):
        check_copy(host, buffer, offset)
        self._called("download", host.nbytes)
        self._queue.append(lambda: _flat(host).__setitem__(slice(None), self._bytes(buffer, offset, host.nbytes)))

    def launch(self, kernel, grid, arguments):
        self._called("launch", kernel.function)
        if kernel.shared_bytes:
            raise NotImplementedError("the shim has no dynamic shared memory")
        library = library_of(kernel, self._libraries, self._flags)
        self._queue.append(partial(self._run, library, kernel, grid, tuple(arguments)))

    def synchronize(self):
        self._called("synchronize", None)
        queued, self._queue = self._queue, []
        for work in queued:
            work()
        for pointer, memory in self.live.items():
            guards = memory[:GUARD], memory[memory.size - GUARD :]
            assert all((guard == UNTOUCHED).all() for guard in guards), f"something wrote beside {pointer}"

    def read(self, buffer, shape, dtype):
        """What a buffer holds, after all that was queued; not in the log."""
        queued, self._queue = self._queue, []
        for work in queued:
            work()
        count = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return self._bytes(buffer, 0, count).view(dtype).reshape(shape).copy()

    def _bytes(self, buffer, offset, count):
        begin = GUARD + offset
        return self.live[buffer.pointer][begin : begin + count]

    def _called(self, what, detail):
        if self._lost is not None:
            raise EngineError(str(self._lost))
        self._calls[what] += 1
        if self._fails is not None and self._fails[:2] == (what, self._calls[what]):
            self._lost = None if what in ("allocate", "pinned") else self._fails[2]
            raise self._fails[2]
        self.log.append((what, detail))

    def _run(self, library, kernel, grid, arguments):
        sizes = (ctypes.c_int * 64)()
        count = library.shim_arguments(sizes)
        values = [np.array(np.uint64(item.pointer) if isinstance(item, Buffer) else item) for item in arguments]
        given = [value.nbytes for value in values]
        assert given == list(sizes[:count]), f"{kernel.function} takes {list(sizes[:count])} bytes, was given {given}"
        places = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
        text = ctypes.create_string_buffer(512)
        done = library.shim_run(
            places, (ctypes.c_int * 2)(*grid), kernel.threads, self._order, ctypes.c_uint64(self._seed), text, len(text)
        )
        if not done:
            raise BarrierError(f"{kernel.function}: {text.value.decode()}")


def _flat(host):
    return host.reshape(-1).view(np.uint8)


_OPEN: dict[Path, ctypes.CDLL] = {}


def library_of(kernel: Kernel, folder: Path, flags=()):
    """A kernel as a library of this machine; compiled once for all that share the folder."""
    program = f'#include "shim.h"\n#include "{kernel.source}"\nSHIM_KERNEL({kernel.function})\n'
    symbols = [f"-D{symbol}={value}" for symbol, value in kernel.definitions]
    command = [COMPILER, *FLAGS, *flags, *symbols, f"-I{HERE}", "-x", "c++", "-"]
    sources = [HERE / "shim.h", kernel.source, *sorted(kernel.source.parent.glob("*.cuh"))]
    digest = hashlib.sha256(repr((program, command)).encode())
    for source in sources:
        digest.update(source.read_bytes())
    path = folder / f"{digest.hexdigest()[:32]}.so"
    if path not in _OPEN:
        if not path.exists():
            part = path.with_suffix(f".{os.getpid()}")
            answer = subprocess.run([*command, "-o", part], input=program, capture_output=True, text=True, check=False)
            assert answer.returncode == 0 and not answer.stderr, answer.stderr
            part.replace(path)
        _OPEN[path] = ctypes.CDLL(str(path))
    return _OPEN[path]
