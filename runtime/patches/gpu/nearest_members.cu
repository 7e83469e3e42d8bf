// The nearest points of every center, a block a center: `nearest_points` of grouping.py.
// Single precision finds a limit that few points are within; double precision orders those. Where more are within it
// than there is room for (points at the same place by the hundred), they are taken distance by distance.
#include "block.cuh"
#include "part.cuh"

#define WARPS (THREADS / 32)
#define BINS 2048
#define INFINITE 0x7f800000u  // the bits of it

struct Center { float x, y, z; };

struct Group {  // where a group is written
  int size;
  int *members;   // (M,)
  float *points;  // (M, 3)
};

__device__ __forceinline__ float squared_to(const Part &part, int i, const Center &center) {
  return squared(part.x[i], part.y[i], part.z[i], center.x, center.y, center.z);
}

// Distances are never negative, so that their bits order them.
__device__ __forceinline__ unsigned long long distance_bits(const Part &part, int i, const Center &center) {
  return __double_as_longlong(distance(part.x[i], part.y[i], part.z[i], center.x, center.y, center.z));
}

__device__ __forceinline__ void write_member(const Part &part, const Center &center, const Group &group, int place,
                                             int i) {
  group.members[place] = i;
  group.points[3 * place] = __fsub_rn(part.x[i], center.x);
  group.points[3 * place + 1] = __fsub_rn(part.y[i], center.y);
  group.points[3 * place + 2] = __fsub_rn(part.z[i], center.z);
}

// A square that at least `count` points are within, and no more than ENOUGH where one can be told: digit by digit.
__device__ float limit_of(const Part &part, const Center &center, int count) {
  __shared__ unsigned int histogram[BINS];
  __shared__ int of_warp[WARPS];
  __shared__ int chosen, below_chosen;
  unsigned int prefix = 0;
  int below = 0, bits = 11;
  for (int shift = 20;; shift -= 10, bits = 10) {
    for (int bin = threadIdx.x; bin < BINS; bin += THREADS) histogram[bin] = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < part.n; i += THREADS) {
      const unsigned int key = __float_as_uint(squared_to(part, i, center));
      if (key >> (shift + bits) == prefix) atomicAdd(&histogram[key >> shift & ((1 << bits) - 1)], 1u);
    }
    __syncthreads();
    const int first = threadIdx.x * (BINS / THREADS);
    int own = 0, total;
    for (int bin = first; bin < first + BINS / THREADS; bin++) own += histogram[bin];
    const int through = below + sum_so_far(own, of_warp, total);
    if (through - own < count && count <= through) {
      int bin = first, before = through - own;
      while (before + static_cast<int>(histogram[bin]) < count) before += histogram[bin++];
      chosen = bin;
      below_chosen = before;
    }
    __syncthreads();
    prefix = prefix << bits | chosen;
    below = below_chosen;
    const int within = below + histogram[chosen];
    __syncthreads();
    if (within <= ENOUGH || shift == 0) {
      const unsigned int key = ((prefix + 1) << shift) - 1;
      return __uint_as_float(key < INFINITE ? key : INFINITE);
    }
  }
}

// Ascending by distance, then index; `size` is a power of two.
__device__ void sort(unsigned long long *key, int *index, int size) {
  for (int run = 2; run <= size; run <<= 1)
    for (int step = run >> 1; step; step >>= 1) {
      for (int i = threadIdx.x; i < size; i += THREADS) {
        const int j = i ^ step;
        if (j < i) continue;
        const bool is_after = key[i] > key[j] || (key[i] == key[j] && index[i] > index[j]);
        if (is_after == ((i & run) == 0)) {
          const unsigned long long k = key[i];
          const int at = index[i];
          key[i] = key[j], index[i] = index[j];
          key[j] = k, index[j] = at;
        }
      }
      __syncthreads();
    }
}

// Any number of points at any distances: the next distance, then its points in their order, until the group is full.
__device__ void take_by_distance(const Part &part, const Center &center, const Group &group) {
  __shared__ unsigned long long of_warp_key[WARPS];
  __shared__ int of_warp[WARPS];
  unsigned long long from = 0;
  for (int filled = 0; filled < group.size;) {
    unsigned long long next = ~0ull;
    for (int i = threadIdx.x; i < part.n; i += THREADS) {
      const unsigned long long key = distance_bits(part, i, center);
      if (key >= from && key < next) next = key;
    }
    next = ~largest_of_block(~next, of_warp_key);
    for (int begin = 0; begin < part.n && filled < group.size; begin += THREADS) {
      const int i = begin + threadIdx.x;
      const bool is_next = i < part.n && distance_bits(part, i, center) == next;
      int total;
      const int place = filled + sum_so_far(is_next ? 1 : 0, of_warp, total) - 1;
      if (is_next && place < group.size) write_member(part, center, group, place, i);
      filled += total;
    }
    from = next + 1;
  }
}

// center_idx: (B, G). members: (B, G, M). groups: (B, G, M, 3), relative to their center. Grid: G by B.
extern "C" __global__ void __launch_bounds__(THREADS)
    nearest_members(const int *packed, int capacity, const int *center_idx, int group_size, int *members,
                    float *groups) {
  __shared__ unsigned long long key[CANDIDATES];
  __shared__ int index[CANDIDATES];
  __shared__ int n_candidates;
  const Part part = part_of(packed, capacity, blockIdx.y);
  const size_t number = static_cast<size_t>(blockIdx.y) * gridDim.x + blockIdx.x;
  const int at = center_idx[number];
  const Center center{part.x[at], part.y[at], part.z[at]};
  const Group group{group_size, members + number * group_size, groups + 3 * number * group_size};
  const float limit = widened(limit_of(part, center, group_size));
  if (threadIdx.x == 0) n_candidates = 0;
  __syncthreads();
  for (int i = threadIdx.x; i < part.n; i += THREADS)
    if (squared_to(part, i, center) <= limit) {
      const int place = atomicAdd(&n_candidates, 1);
      if (place < CANDIDATES) key[place] = distance_bits(part, i, center), index[place] = i;
    }
  __syncthreads();
  const int n = n_candidates;
  if (n > CANDIDATES) {
    take_by_distance(part, center, group);
    return;
  }
  int size = 2;
  while (size < n) size <<= 1;
  for (int i = n + threadIdx.x; i < size; i += THREADS) key[i] = ~0ull, index[i] = 0x7fffffff;
  __syncthreads();
  sort(key, index, size);
  for (int place = threadIdx.x; place < group_size; place += THREADS)
    write_member(part, center, group, place, index[place]);
}
