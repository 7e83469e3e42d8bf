"""An NVIDIA GPU, through NVIDIA's `cuda-bindings` alone.

`cuda-core`, the layer above, is not needed: these are a dozen calls of the driver, and the status of each tells what
failed. The primary context is ONNX Runtime's too, so that both share memory by pointer; it lives as long as the
process.

Not run on a GPU yet. What the kernels compute is proven on the processor (`docs/grouping_on_gpu.md`); how this module
calls the driver, against a double of it.
"""

from __future__ import annotations

import ctypes
import importlib
import threading
import weakref
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import EngineError
from .device import Buffer, Kernel, check_copy
from .kernel_compiling import cubin_of, kernel_cache, nvrtc_version

MIB = 2**20
INSTALL = "pip install 'cmdiad[gpu]'"
_NO_MEMORY = "CUDA_ERROR_OUT_OF_MEMORY"
_REFUSALS = (
    "CUDA_ERROR_INVALID_VALUE",
    "CUDA_ERROR_INVALID_IMAGE",
    "CUDA_ERROR_INVALID_HANDLE",
    "CUDA_ERROR_INVALID_SOURCE",
    "CUDA_ERROR_NO_BINARY_FOR_GPU",
    "CUDA_ERROR_NOT_FOUND",
    "CUDA_ERROR_NOT_SUPPORTED",
    "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES",
)
_NO_DEVICE = ("CUDA_ERROR_NO_DEVICE", "CUDA_ERROR_INVALID_DEVICE", "CUDA_ERROR_STUB_LIBRARY")


class CudaDevice:
    """One GPU and one stream on it; threads may share it, if they take its `turn`."""

    name = "cuda"

    def __init__(self, driver: Any, nvrtc: Any, number: int = 0, cache: Path | None = None) -> None:
        """Start a GPU; `open_cuda_device` hands in the two libraries.

        Args:
            driver: `cuda.bindings.driver`.
            nvrtc: `cuda.bindings.nvrtc`.
            number: which GPU, in CUDA's order.
            cache: the folder of compiled kernels; None: none are kept.

        Raises:
            EngineError: there is no driver, no such GPU or no NVRTC.
        """
        self._driver, self._nvrtc, self._cache = driver, nvrtc, cache
        self.turn = threading.RLock()
        try:
            self._call("start the driver", driver.cuInit, 0)
        except RuntimeError as cause:  # the library itself is not there
            raise EngineError(
                "there is no NVIDIA driver on this machine: install one for CUDA 13, or use --provider cpu"
            ) from cause
        device = self._call(f"find GPU {number}", driver.cuDeviceGet, number)
        nvrtc_version(nvrtc)
        self.target = "sm" + "".join(str(self._attribute(device, part)) for part in ("MAJOR", "MINOR"))
        self._context = self._call("make a context", driver.cuDevicePrimaryCtxRetain, device)
        self._enter()
        flags = int(driver.CUstream_flags.CU_STREAM_NON_BLOCKING)
        self._stream = self._call("make a stream", driver.cuStreamCreate, flags)
        self._functions: dict[Kernel, Any] = {}

    @property
    def stream(self) -> int:
        """The handle of the one stream that everything is queued on."""
        return int(self._stream)

    def allocate(self, nbytes: int) -> Buffer:
        """Memory on the GPU, as `Device.allocate`."""
        self._enter()
        pointer = int(self._call(f"allocate {_size(nbytes)}", self._driver.cuMemAlloc, max(1, nbytes)))
        return Buffer(pointer, nbytes, partial(_free, self._driver, self._context, self._driver.cuMemFree))

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """An array in page-locked memory, as `Device.pinned`."""
        self._enter()
        nbytes = max(1, int(np.prod(shape)) * np.dtype(dtype).itemsize)
        what = f"lock {_size(nbytes)} of the host's memory"
        pointer = int(self._call(what, self._driver.cuMemHostAlloc, nbytes, 0))
        memory = (ctypes.c_uint8 * nbytes).from_address(pointer)
        weakref.finalize(memory, _free, self._driver, self._context, self._driver.cuMemFreeHost, pointer)
        array: npt.NDArray[Any] = np.frombuffer(memoryview(memory), np.dtype(dtype), count=int(np.prod(shape)))
        return array.reshape(shape)

    def upload(self, host: npt.NDArray[Any], buffer: Buffer, offset: int = 0) -> None:
        """Queue a copy to the GPU, as `Device.upload`."""
        check_copy(host, buffer, offset)
        self._enter()
        place, copy = buffer.pointer + offset, self._driver.cuMemcpyHtoDAsync
        self._call(f"copy {_size(host.nbytes)} to the GPU", copy, place, host.ctypes.data, host.nbytes, self._stream)

    def download(self, buffer: Buffer, host: npt.NDArray[Any], offset: int = 0) -> None:
        """Queue a copy from the GPU, as `Device.download`."""
        check_copy(host, buffer, offset)
        self._enter()
        place, copy = buffer.pointer + offset, self._driver.cuMemcpyDtoHAsync
        self._call(f"copy {_size(host.nbytes)} from the GPU", copy, host.ctypes.data, place, host.nbytes, self._stream)

    def launch(self, kernel: Kernel, grid: tuple[int, int], arguments: Sequence[Buffer | np.generic]) -> None:
        """Queue a kernel, as `Device.launch`; it is compiled or loaded when it is first launched."""
        self._enter()
        if kernel not in self._functions:
            self._functions[kernel] = self._load(kernel)
        values = [np.array(np.uint64(value.pointer) if isinstance(value, Buffer) else value) for value in arguments]
        places = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
        # The driver copies the values before it returns.
        self._call(
            f"launch {kernel.function} of {kernel.source.name}",
            self._driver.cuLaunchKernel,
            *(self._functions[kernel], *grid, 1, kernel.threads, 1, 1),
            *(kernel.shared_bytes, self._stream, ctypes.addressof(places), 0),
        )

    def synchronize(self) -> None:
        """Wait until all that was queued is done, as `Device.synchronize`."""
        self._enter()
        self._call("finish the queued work", self._driver.cuStreamSynchronize, self._stream)

    def _load(self, kernel: Kernel) -> Any:
        """A kernel's function on the GPU."""
        driver, what = self._driver, f"load {kernel.function} of {kernel.source.name}"
        cubin = np.frombuffer(cubin_of(self._nvrtc, kernel, self.target, self._cache), np.uint8)
        module = self._call(what, driver.cuModuleLoadData, cubin.ctypes.data)
        function = self._call(what, driver.cuModuleGetFunction, module, kernel.function.encode())
        if kernel.shared_bytes:
            # More than 48 KiB is refused unless it is asked for.
            most = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            self._call(what, driver.cuFuncSetAttribute, function, most, kernel.shared_bytes)
        return function

    def _attribute(self, device: Any, part: str) -> int:
        name = f"CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_{part}"
        attribute = getattr(self._driver.CUdevice_attribute, name)
        return int(self._call("ask for the compute capability", self._driver.cuDeviceGetAttribute, attribute, device))

    def _enter(self) -> None:
        """Make the context that of the calling thread."""
        self._call("enter its context", self._driver.cuCtxSetCurrent, self._context)

    def _call(self, what: str, function: Any, *arguments: Any) -> Any:
        """Call the driver: its answer, without the status.

        Raises:
            EngineError: it refuses.
        """
        status, *answer = function(*arguments)
        if status.name != "CUDA_SUCCESS":
            raise _refused(what, status.name)
        return answer[0] if answer else None


def open_cuda_device(number: int = 0) -> CudaDevice:
    """A GPU of this machine.

    Raises:
        EngineError: cuda-bindings, the driver, NVRTC or the GPU is missing.
    """
    try:
        driver = importlib.import_module("cuda.bindings.driver")
        nvrtc = importlib.import_module("cuda.bindings.nvrtc")
    except ImportError as cause:
        raise EngineError(f"cuda-bindings, which calls the NVIDIA driver, is not installed: {INSTALL}") from cause
    return CudaDevice(driver, nvrtc, number, kernel_cache())


def _free(driver: Any, context: Any, free: Any, pointer: int) -> None:
    """Give memory back, on whatever thread collects it; on a lost GPU there is nothing to give back."""
    driver.cuCtxSetCurrent(context)
    free(pointer)


def _size(nbytes: int) -> str:
    return f"{nbytes / MIB:.1f} MiB"


def _refused(what: str, status: str) -> EngineError:
    if status == _NO_MEMORY:
        advice = (
            "memory is full: choose a smaller batch, or stop other programs that use the GPU (nvidia-smi lists them)"
        )
    elif status in _NO_DEVICE:
        advice = "there is no such GPU: `nvidia-smi` lists those of this machine, CUDA_VISIBLE_DEVICES may hide them"
    elif status in _REFUSALS:
        advice = "the GPU does not take it: `cmdiad-rt doctor` shows what is installed; report it if that fits"
    else:
        advice = (
            "the GPU is lost to this process: start again; where it recurs, `nvidia-smi -q` and the system's log tell"
        )
    return EngineError(f"CUDA cannot {what} ({status}): {advice}")
