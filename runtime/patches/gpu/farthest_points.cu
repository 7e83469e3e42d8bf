// Farthest point sampling from point 0, a block a part: `farthest_points` of grouping.py.
// Up to IN_REGISTERS * THREADS points keep their distance to the nearest center in registers, larger parts in memory.
#include "block.cuh"
#include "part.cuh"

#define IN_REGISTERS 17
#define INFINITE __int_as_float(0x7f800000)

// Farther is larger, and of equally far the lower index. Squares are never negative, so that their bits order them.
__device__ __forceinline__ unsigned long long rank_of(float value, int index) {
  return static_cast<unsigned long long>(__float_as_uint(value)) << 32 | (0xffffffffu - index);
}

__device__ __forceinline__ float nearer(const Part &part, int i, int chosen, float nearest) {
  return fminf(nearest, squared(part.x[i], part.y[i], part.z[i], part.x[chosen], part.y[chosen], part.z[chosen]));
}

// packed: part.cuh. nearest: room for a float a point. center_idx: (B, G). centers: (B, G, 3).
extern "C" __global__ void __launch_bounds__(THREADS)
    farthest_points(const int *packed, int capacity, int n_groups, float *nearest, int *center_idx, float *centers) {
  __shared__ unsigned long long of_warp[2][THREADS / 32];
  const Part part = part_of(packed, capacity, blockIdx.x);
  const bool is_small = part.n <= IN_REGISTERS * THREADS;
  float own[IN_REGISTERS];
#pragma unroll
  for (int j = 0; j < IN_REGISTERS; j++) own[j] = INFINITE;
  nearest += part.first;
  if (!is_small)
    for (int i = threadIdx.x; i < part.n; i += THREADS) nearest[i] = INFINITE;
  center_idx += blockIdx.x * n_groups;
  centers += 3 * blockIdx.x * n_groups;
  int chosen = 0;
  for (int k = 0; k < n_groups; k++) {
    if (threadIdx.x == 0) center_idx[k] = chosen;
    if (threadIdx.x < 3) centers[3 * k + threadIdx.x] = part.x[threadIdx.x * part.n + chosen];
    float value = -1.0f;
    int at = 0;
    if (is_small) {
#pragma unroll
      for (int j = 0; j < IN_REGISTERS; j++) {
        const int i = threadIdx.x + j * THREADS;
        if (i < part.n) {
          own[j] = nearer(part, i, chosen, own[j]);
          if (own[j] > value) { value = own[j]; at = i; }
        }
      }
    } else {
      for (int i = threadIdx.x; i < part.n; i += THREADS) {
        const float square = nearest[i] = nearer(part, i, chosen, nearest[i]);
        if (square > value) { value = square; at = i; }
      }
    }
    const unsigned long long rank = value < 0.0f ? 0 : rank_of(value, at);
    chosen = 0xffffffffu - static_cast<unsigned int>(largest_of_block(rank, of_warp[k & 1]));
  }
}
