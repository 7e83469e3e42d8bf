// What all threads of a block find together. All of them call these; a block has whole warps, 32 at most.
#pragma once

// The largest value of the block, for every thread. What is in `of_warp` may be overwritten after the next barrier but
// one: calls that follow each other take turns with two arrays.
template <int WARPS>
__device__ __forceinline__ unsigned long long largest_of_block(unsigned long long value,
                                                               unsigned long long (&of_warp)[WARPS]) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  for (int other = 16; other; other >>= 1) {
    const unsigned long long theirs = __shfl_xor_sync(~0u, value, other);
    value = theirs > value ? theirs : value;
  }
  if (lane == 0) of_warp[warp] = value;
  __syncthreads();
  value = lane < WARPS ? of_warp[lane] : 0;
  for (int other = 16; other; other >>= 1) {
    const unsigned long long theirs = __shfl_xor_sync(~0u, value, other);
    value = theirs > value ? theirs : value;
  }
  return value;
}

// The sum of the values of all threads up to and with this one; `total` becomes the block's.
template <int WARPS>
__device__ __forceinline__ int sum_so_far(int value, int (&of_warp)[WARPS], int &total) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  for (int other = 1; other < 32; other <<= 1) {
    const int theirs = __shfl_up_sync(~0u, value, other);
    if (lane >= other) value += theirs;
  }
  if (lane == 31) of_warp[warp] = value;
  __syncthreads();
  int before = 0;
  total = 0;
  for (int w = 0; w < WARPS; w++) {
    if (w < warp) before += of_warp[w];
    total += of_warp[w];
  }
  __syncthreads();
  return before + value;
}
