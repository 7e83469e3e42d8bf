"""Kernels on the processor: threads meet where they should, and whoever does not is found out."""

import hashlib

import numpy as np
import pytest
from cmdiad.runtime.engines.device import Kernel
from cmdiad.runtime.errors import EngineError
from cmdiad.tests.runtime.engines.cuda_on_cpu.device import ORDERS, BarrierError, CudaOnCpu, needs_compiler

pytestmark = needs_compiler

SUM = """
extern "C" __global__ void f(const int *in, int n, int *out) {
  __shared__ int of_warp[8];
  int value = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) value += in[i] * (blockIdx.x + 1);
  for (int o = 16; o; o >>= 1) value += __shfl_down_sync(~0u, value, o);
  if ((threadIdx.x & 31) == 0) of_warp[threadIdx.x >> 5] = value;
  __syncthreads();
  if (threadIdx.x == 0) for (int w = 1; w < blockDim.x / 32; w++) value += of_warp[w];
  if (threadIdx.x == 0) out[blockIdx.y * gridDim.x + blockIdx.x] = value;
}
"""
NEIGHBOR = """
extern "C" __global__ void f(const int *in, int n, int *out) {
  __shared__ int shared[256];
  shared[threadIdx.x] = in[threadIdx.x];
  BARRIER
  out[threadIdx.x] = shared[(threadIdx.x + 1) % n];
}
"""
HEAD = 'extern "C" __global__ void f(const int *in, int n, int *out) {\n'


@pytest.fixture
def kernel(kernel_libraries):
    def make(source, threads=64):
        # The same place for the same source: it is compiled once for all orders.
        path = kernel_libraries / f"{hashlib.sha256(source.encode()).hexdigest()}.cu"
        path.write_text(source)
        return Kernel(path, "f", threads)

    return make


def results(kernel, libraries, order, n_out, grid=(1, 1), n=64, flags=()):
    device = CudaOnCpu(libraries, order, seed=5, flags=flags)
    given, made = np.arange(n, dtype=np.int32), np.zeros(n_out, np.int32)
    source, target = device.allocate(given.nbytes), device.allocate(made.nbytes)
    device.upload(given, source)
    device.launch(kernel, grid, [source, np.int32(n), target])
    device.download(target, made)
    device.synchronize()
    return made.tolist()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("flags", [(), ("-DSHIM_UCONTEXT",)], ids=["own", "ucontext"])
def test_shuffles_and_barriers_give_the_sum_in_every_order(kernel, kernel_libraries, order, flags):
    total = sum(range(100))
    assert results(kernel(SUM), kernel_libraries, order, 4, (2, 2), 100, flags) == [total, 2 * total] * 2


def test_votes_are_the_warps(kernel, kernel_libraries):
    vote = HEAD + "out[threadIdx.x] = __popc(__ballot_sync(~0u, in[threadIdx.x] % 3 == 0)); }"
    assert results(kernel(vote), kernel_libraries, "shuffled", 64) == [11] * 32 + [11] * 32


def test_with_its_barrier_a_kernel_gives_the_same_in_every_order(kernel, kernel_libraries):
    whole = kernel(NEIGHBOR.replace("BARRIER", "__syncthreads();"))
    expected = [(i + 1) % 64 for i in range(64)]
    assert all(results(whole, kernel_libraries, order, 64) == expected for order in ORDERS)


def test_a_barrier_that_is_missing_shows_as_another_result(kernel, kernel_libraries):
    broken = kernel(NEIGHBOR.replace("BARRIER", ""))
    made = [results(broken, kernel_libraries, order, 64) for order in ORDERS]
    assert made[0] != made[1]


def test_a_warp_that_runs_ahead_shows_what_it_overwrites(kernel, kernel_libraries):
    # What warp 0 wrote for the first turn is overwritten by its second before warp 1 has read it.
    turns = (
        HEAD
        + """
      __shared__ int of_warp[2];
      for (int turn = 1; turn < 3; turn++) {
        if ((threadIdx.x & 31) == 0) of_warp[threadIdx.x >> 5] = turn;
        __syncthreads();
        if (of_warp[1 - (threadIdx.x >> 5)] != turn) out[threadIdx.x] = turn;
        __syncwarp();
        SECOND
      }
    }"""
    )
    assert 1 in results(kernel(turns.replace("SECOND", "")), kernel_libraries, "reverse", 64)
    whole = kernel(turns.replace("SECOND", "__syncthreads();"))
    assert not {1, 2} & set(results(whole, kernel_libraries, "reverse", 64))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("if (threadIdx.x < 40) __syncthreads(); }", r"not all threads reach.*thread 0 waits at line 2.*63 has ended"),
        ("if (threadIdx.x == 7) return;\n __syncthreads(); }", r"thread 0 waits at line 3, thread 7 has ended"),
        ("if (threadIdx.x < 32) __syncthreads();\n else __syncthreads(); }", r"different barriers"),
        ("if (threadIdx.x == 3) __syncwarp();\n __syncthreads(); }", r"not all threads reach.*line 3.*3 is at line 2"),
        ("__shfl_sync(1u, n, 0); }", r"not all threads of a warp are named"),
    ],
    ids=["branch", "return", "two", "warp", "mask"],
)
@pytest.mark.parametrize("order", ORDERS)
def test_threads_that_do_not_meet_are_reported(kernel, kernel_libraries, body, message, order):
    with pytest.raises(BarrierError, match=message):
        results(kernel(HEAD + body), kernel_libraries, order, 64)


def test_a_block_is_of_whole_warps(kernel, kernel_libraries):
    with pytest.raises(BarrierError, match="40 threads are not whole warps"):
        results(kernel(HEAD + "}", threads=40), kernel_libraries, "forward", 64)


@pytest.mark.parametrize("place", [-1, 64])
def test_writing_beside_a_buffer_is_found_out(kernel, kernel_libraries, place):
    with pytest.raises(AssertionError, match="wrote beside"):
        results(kernel(HEAD + f"out[{place}] = 1; }}"), kernel_libraries, "forward", 64)


def test_arguments_have_the_kernels_sizes(kernel, kernel_libraries):
    device = CudaOnCpu(kernel_libraries)
    device.launch(kernel(HEAD + "}"), (1, 1), [device.allocate(4), np.int64(1), device.allocate(4)])
    with pytest.raises(AssertionError, match=r"takes \[8, 4, 8\] bytes, was given \[8, 8, 8\]"):
        device.synchronize()


def test_what_is_queued_is_done_at_synchronize_and_not_before(kernel_libraries):
    device = CudaOnCpu(kernel_libraries)
    buffer, given, made = device.allocate(8), np.arange(2, dtype=np.int32), np.zeros(2, np.int32)
    device.upload(given, buffer)
    device.download(buffer, made)
    given[:] = 7
    assert made.tolist() == [0, 0]
    device.synchronize()
    assert made.tolist() == [7, 7]
    assert device.log == [("allocate", 8), ("upload", 8), ("download", 8), ("synchronize", None)]


def test_a_copy_stays_inside_its_buffer(kernel_libraries):
    device = CudaOnCpu(kernel_libraries)
    buffer = device.allocate(8)
    with pytest.raises(ValueError, match="outside a buffer of 8"):
        device.upload(np.zeros(2, np.int32), buffer, offset=4)
    with pytest.raises(ValueError, match="contiguous"):
        device.download(buffer, np.zeros((2, 2), np.int8)[:, 0])


def test_a_device_that_is_lost_stays_lost(kernel_libraries):
    device = CudaOnCpu(kernel_libraries, fails=("synchronize", 2, EngineError("lost")))
    device.synchronize()
    for _ in range(2):
        with pytest.raises(EngineError, match="lost"):
            device.synchronize()
    with pytest.raises(EngineError, match="lost"):
        device.allocate(1)


def test_memory_is_freed_with_its_buffer(kernel_libraries):
    device = CudaOnCpu(kernel_libraries)
    buffer = device.allocate(8)
    assert len(device.live) == 1
    del buffer
    assert not device.live
