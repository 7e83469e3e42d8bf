"""The kernels' sources: compiled for every GPU that is supported, shipped, and in step with the pooling they repeat."""

import numpy as np
import pytest
from cmdiad.runtime.engines.kernel_compiling import compile_kernel
from cmdiad.runtime.patches.gpu.kernels import KERNELS, SOURCES, WINDOW, axis_windows
from cmdiad.runtime.patches.pooling import axis_pooling

TARGETS = ("sm75", "sm80", "sm86", "sm87", "sm89", "sm90", "sm100", "sm120")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.function)
def test_every_kernel_compiles_to_a_binary_of_every_target(kernel, target):
    nvrtc = pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-bindings is not installed")
    try:
        nvrtc.nvrtcVersion()
    except RuntimeError:
        pytest.skip("NVRTC is not installed: pip install nvidia-cuda-nvrtc")
    cubin = compile_kernel(nvrtc, kernel, target)
    assert cubin.startswith(b"\x7fELF") and kernel.function.encode() in cubin


def test_every_source_is_a_kernel():
    assert {kernel.source for kernel in KERNELS} == set(SOURCES.glob("*.cu"))


def test_windows_are_the_pooling_of_an_axis_without_its_zeros():
    starts, weights = axis_windows()
    matrix = np.zeros((56, 224 + WINDOW))
    for row, (start, values) in enumerate(zip(starts, weights, strict=True)):
        matrix[row, start : start + WINDOW] = values
    np.testing.assert_array_equal(matrix[:, :224], axis_pooling())
    assert not matrix[:, 224:].any() and starts.dtype == np.int32
