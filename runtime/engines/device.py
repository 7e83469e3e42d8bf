"""What kernels need of a device: memory, copies and launches, all queued on one stream.

`CudaDevice` (`cuda.py`) is the one that inspects. What runs on it is written against this protocol, so that tests run
the same kernels on the processor.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


class Buffer:
    """Memory on a device, freed with the object.

    Attributes:
        pointer: where it begins, an address of the device.
        nbytes: its size.
    """

    def __init__(self, pointer: int, nbytes: int, free: Callable[[int], object]) -> None:
        """Own memory that `free` gives back, called with the pointer."""
        self.pointer, self.nbytes = pointer, nbytes
        weakref.finalize(self, free, pointer)


@dataclass(frozen=True)
class Kernel:
    """A function of a CUDA C source, and how it is compiled and launched.

    Attributes:
        source: the `.cu` file; what it includes lies beside it.
        function: its name, `extern "C"`.
        threads: of a block.
        shared_bytes: dynamic shared memory of a block.
        definitions: preprocessor symbols and their values.
    """

    source: Path
    function: str
    threads: int
    shared_bytes: int = 0
    definitions: tuple[tuple[str, int], ...] = ()


class Device(Protocol):
    """Where kernels run. Everything is queued on its stream in the order of the calls."""

    @property
    def name(self) -> str:
        """What ONNX Runtime calls its memory: cuda or cpu."""
        ...

    @property
    def stream(self) -> int:
        """The handle of the one stream that everything is queued on."""
        ...

    @property
    def turn(self) -> AbstractContextManager[Any]:
        """Whoever queues work holds it from the first call to `synchronize`: inspectors of one process share a device.

        A capture of a CUDA graph would end at another's call in the middle of it.
        """
        ...

    def allocate(self, nbytes: int) -> Buffer:
        """Memory on the device; what is in it is not defined.

        Raises:
            EngineError: there is not as much.
        """
        ...

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """An array in page-locked memory of the host, which copies need not wait for; freed with the array.

        Raises:
            EngineError: there is not as much.
        """
        ...

    def upload(self, host: npt.NDArray[Any], buffer: Buffer, offset: int = 0) -> None:
        """Queue a copy to the device; the array is left alone until `synchronize`.

        Args:
            host: contiguous.
            buffer: where to.
            offset: bytes from its beginning.

        Raises:
            EngineError: the device is lost.
        """
        ...

    def download(self, buffer: Buffer, host: npt.NDArray[Any], offset: int = 0) -> None:
        """Queue a copy from the device; the array holds it after `synchronize`.

        Args:
            buffer: where from.
            host: contiguous.
            offset: bytes from the buffer's beginning.

        Raises:
            EngineError: the device is lost.
        """
        ...

    def launch(self, kernel: Kernel, grid: tuple[int, int], arguments: Sequence[Buffer | np.generic]) -> None:
        """Queue a kernel.

        Args:
            kernel: compiled when it is first launched.
            grid: blocks in x and y.
            arguments: the function's, in order: buffers for pointers, NumPy's scalars for values of their type.

        Raises:
            EngineError: it cannot be compiled or the device refuses it, or the device is lost.
        """
        ...

    def synchronize(self) -> None:
        """Wait until all that was queued is done.

        Raises:
            EngineError: something that was queued failed: the device is lost.
        """
        ...


def check_copy(host: npt.NDArray[Any], buffer: Buffer, offset: int) -> None:
    """Refuse a copy that is not contiguous, or beyond the buffer's end.

    Raises:
        ValueError: a bug of the caller.
    """
    if not host.flags.c_contiguous:
        raise ValueError("only contiguous arrays are copied to and from a device")
    if offset < 0 or offset + host.nbytes > buffer.nbytes:
        raise ValueError(f"{host.nbytes} bytes at {offset} are outside a buffer of {buffer.nbytes}")
