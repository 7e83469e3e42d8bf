"""The GPU's device against a double of the driver: what is called, with which arguments, and what errors say.

Where there is no driver, the real bindings are asked whether they take the arguments.
"""

import ctypes
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from cmdiad.runtime.engines import cuda as cuda_module
from cmdiad.runtime.engines.cuda import CudaDevice, open_cuda_device
from cmdiad.runtime.engines.device import Kernel
from cmdiad.runtime.errors import EngineError

bindings = pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")
KERNEL_VALUES = 3


def has_driver():
    try:
        bindings.cuDriverGetVersion()
    except RuntimeError:
        return False
    return True


HAS_DRIVER = has_driver()


class DriverDouble:
    """The driver's functions on the host's memory; its own handles are the bindings' types."""

    is_asking = False

    def __init__(self, **fails):
        self.fails, self.calls, self.memory, self.launched = fails, [], {}, []
        self.CUstream_flags, self.CUdevice_attribute = bindings.CUstream_flags, bindings.CUdevice_attribute
        self.CUfunction_attribute = bindings.CUfunction_attribute

    def __getattr__(self, name):
        def call(*arguments):
            self.calls.append(name)
            if name in self.fails:
                return (SimpleNamespace(name=self.fails[name]), 0)
            if not HAS_DRIVER:
                self._ask_the_bindings(name, arguments)
            answer = getattr(self, f"_{name}")(*arguments)
            return (SimpleNamespace(name="CUDA_SUCCESS"), *answer)

        return call

    @classmethod
    def _ask_the_bindings(cls, name, arguments):
        # While they look for the driver they must not be called again, as by what is collected meanwhile.
        if cls.is_asking:
            return
        cls.is_asking = True
        try:
            with pytest.raises(RuntimeError, match="driver library"):
                getattr(bindings, name)(*arguments)
        finally:
            cls.is_asking = False

    def _cuInit(self, flags):
        return ()

    def _cuDeviceGet(self, number):
        return (bindings.CUdevice(number),)

    def _cuDeviceGetAttribute(self, attribute, device):
        return (8 if attribute.name.endswith("MAJOR") else 6,)

    def _cuDevicePrimaryCtxRetain(self, device):
        return (bindings.CUcontext(11),)

    def _cuCtxSetCurrent(self, context):
        assert int(context) == 11
        return ()

    def _cuStreamCreate(self, flags):
        assert flags == 1
        return (bindings.CUstream(77),)

    def _cuStreamSynchronize(self, stream):
        assert int(stream) == 77
        return ()

    def _cuMemAlloc(self, nbytes):
        memory = (ctypes.c_uint8 * nbytes)()
        self.memory[ctypes.addressof(memory)] = memory
        return (bindings.CUdeviceptr(ctypes.addressof(memory)),)

    def _cuMemHostAlloc(self, nbytes, flags):
        assert flags == 0
        return (int(self._cuMemAlloc(nbytes)[0]),)

    def _cuMemFree(self, pointer):
        del self.memory[pointer]
        return ()

    _cuMemFreeHost = _cuMemFree

    def _cuMemcpyHtoDAsync(self, target, source, nbytes, stream):
        assert int(stream) == 77
        ctypes.memmove(target, source, nbytes)
        return ()

    _cuMemcpyDtoHAsync = _cuMemcpyHtoDAsync

    def _cuModuleLoadData(self, image):
        assert ctypes.string_at(image, 6) == b"binary"
        return (bindings.CUmodule(5),)

    def _cuModuleGetFunction(self, module, name):
        assert (int(module), name) == (5, b"f")
        return (bindings.CUfunction(6),)

    def _cuFuncSetAttribute(self, function, attribute, value):
        self.launched.append((attribute.name, value))
        return ()

    def _cuLaunchKernel(self, function, gx, gy, gz, tx, ty, tz, shared, stream, arguments, extra):
        places = (ctypes.c_void_p * KERNEL_VALUES).from_address(arguments)
        pointer = ctypes.c_uint64.from_address(places[0]).value
        values = ctypes.c_int32.from_address(places[1]).value, ctypes.c_double.from_address(places[2]).value
        self.launched.append((int(function), (gx, gy, gz), (tx, ty, tz), shared, int(stream), pointer, values, extra))
        return ()


NVRTC = SimpleNamespace(nvrtcVersion=lambda: ("ok", 13, 0), nvrtcResult=SimpleNamespace(NVRTC_SUCCESS="ok"))


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    monkeypatch.setattr(cuda_module, "cubin_of", lambda nvrtc, kernel, target, cache: b"binary of " + target.encode())
    return Kernel(tmp_path / "f.cu", "f", 64)


def test_what_is_uploaded_comes_down_again():
    device = CudaDevice(DriverDouble(), NVRTC)
    assert (device.name, device.stream, device.target) == ("cuda", 77, "sm86")
    given, made = device.pinned((2, 3), np.float32), device.pinned((3,), np.float32)
    given[...] = np.arange(6).reshape(2, 3)
    buffer = device.allocate(32)
    assert buffer.nbytes == 32
    device.upload(given, buffer, offset=8)
    device.download(buffer, made, offset=8 + 12)
    device.synchronize()
    assert made.tolist() == [3, 4, 5]


def test_memory_is_freed_with_what_holds_it():
    driver = DriverDouble()
    device = CudaDevice(driver, NVRTC)
    buffer, array = device.allocate(0), device.pinned((4, 4), np.int64)
    rows = array[1:]
    del array
    assert len(driver.memory) == 2 and "cuMemFreeHost" not in driver.calls
    del buffer, rows
    assert not driver.memory and {"cuMemFree", "cuMemFreeHost"} <= set(driver.calls)


def test_a_kernel_is_loaded_once_and_gets_its_arguments(kernel):
    driver = DriverDouble()
    device = CudaDevice(driver, NVRTC)
    buffer = device.allocate(16)
    for _ in range(2):
        device.launch(kernel, (3, 2), [buffer, np.int32(-5), np.float64(0.5)])
    assert driver.launched == [(6, (3, 2, 1), (64, 1, 1), 0, 77, buffer.pointer, (-5, 0.5), 0)] * 2
    assert driver.calls.count("cuModuleLoadData") == 1


def test_much_shared_memory_is_asked_for(tmp_path, kernel):
    driver = DriverDouble()
    device = CudaDevice(driver, NVRTC)
    large = Kernel(kernel.source, "f", 64, shared_bytes=60_000)
    device.launch(large, (1, 1), [device.allocate(4), np.int32(1), np.float64(1)])
    assert driver.launched[0] == ("CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES", 60_000)
    assert driver.launched[1][3] == 60_000


@pytest.mark.parametrize(
    ("call", "status", "message"),
    [
        ("cuDeviceGet", "CUDA_ERROR_INVALID_DEVICE", r"find GPU 0 .*nvidia-smi.*CUDA_VISIBLE_DEVICES"),
        ("cuInit", "CUDA_ERROR_NO_DEVICE", r"start the driver .*there is no such GPU"),
        ("cuMemAlloc", "CUDA_ERROR_OUT_OF_MEMORY", r"allocate 8\.0 MiB .*smaller batch"),
        ("cuMemHostAlloc", "CUDA_ERROR_OUT_OF_MEMORY", r"lock 8\.0 MiB of the host's memory .*memory is full"),
        ("cuModuleLoadData", "CUDA_ERROR_NO_BINARY_FOR_GPU", r"load f of f\.cu .*does not take it.*doctor"),
        ("cuLaunchKernel", "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", r"launch f of f\.cu .*does not take it"),
        ("cuMemcpyHtoDAsync", "CUDA_ERROR_ILLEGAL_ADDRESS", r"copy 8\.0 MiB to the GPU .*lost.*start again"),
        ("cuMemcpyDtoHAsync", "CUDA_ERROR_ECC_UNCORRECTABLE", r"copy 8\.0 MiB from the GPU .*lost.*start again"),
        ("cuStreamSynchronize", "CUDA_ERROR_LAUNCH_FAILED", r"finish the queued work .*lost.*start again"),
    ],
)
def test_what_the_driver_refuses_is_told_with_what_to_do(kernel, call, status, message):
    with pytest.raises(EngineError, match=f"CUDA cannot {message}") as caught:
        device = CudaDevice(DriverDouble(**{call: status}), NVRTC)
        host, buffer = device.pinned((2**23,), np.uint8), device.allocate(2**23)
        device.upload(host, buffer)
        device.launch(kernel, (1, 1), [buffer, np.int32(1), np.float64(1)])
        device.download(buffer, host)
        device.synchronize()
    assert status in str(caught.value)


def test_without_a_driver_the_way_out_is_told():
    driver = DriverDouble()

    def missing(flags):
        raise RuntimeError("libcuda.so.1 is not there")

    driver.cuInit = missing
    with pytest.raises(EngineError, match=r"no NVIDIA driver on this machine: install one .*--provider cpu"):
        CudaDevice(driver, NVRTC)


def test_without_nvrtc_the_device_does_not_start():
    def missing():
        raise RuntimeError("libnvrtc is not there")

    with pytest.raises(EngineError, match=r"pip install 'cmdiad\[gpu\]'"):
        CudaDevice(DriverDouble(), SimpleNamespace(nvrtcVersion=missing))


def test_without_cuda_bindings_the_command_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", None)
    with pytest.raises(
        EngineError,
        match=r"cuda-bindings, which calls the NVIDIA driver, is not installed.*pip install 'cmdiad\[gpu\]'",
    ):
        open_cuda_device()


@pytest.mark.skipif(HAS_DRIVER, reason="this machine has an NVIDIA driver")
def test_here_the_real_bindings_find_no_driver(monkeypatch):
    # Doubles that are collected while the bindings look for the driver would wait for them, and they for the doubles.
    monkeypatch.setattr(DriverDouble, "is_asking", True)
    with pytest.raises(EngineError, match="no NVIDIA driver on this machine"):
        open_cuda_device()
