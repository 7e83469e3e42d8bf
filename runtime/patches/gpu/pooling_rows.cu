// Rows of the pooling matrix, a block a patch: `pooling_matrix` of pooling.py, summed in SciPy's order.
#include "part.cuh"

#define PIXELS (WINDOW * WINDOW)
#define SHARES (3 * PIXELS)

// Which point is at a pixel; -1: none.
__device__ __forceinline__ int point_at(const Part &part, int pixel) {
  int low = 0, high = part.n;
  while (low < high) {
    const int middle = (low + high) / 2;
    if (part.pixel[middle] < pixel) low = middle + 1;
    else high = middle;
  }
  return low < part.n && part.pixel[low] == pixel ? low : -1;
}

// starts: (GRID,), a patch's first pixel along an axis; axis_weights: (GRID, WINDOW), what its pixels count there.
// patches: (B, P), places in the grid, -1 for none. pooling: (B, P, G). Grid: P by B.
extern "C" __global__ void __launch_bounds__(THREADS)
    pooling_rows(const int *packed, int capacity, const int *nearest, const float *weight, const int *starts,
                 const double *axis_weights, const int *patches, int n_groups, float *pooling) {
  __shared__ int center[SHARES];
  __shared__ float share[SHARES];
  const size_t number = static_cast<size_t>(blockIdx.y) * gridDim.x + blockIdx.x;
  const int patch = patches[number];
  float *row = pooling + number * n_groups;
  for (int g = threadIdx.x; g < n_groups; g += THREADS) row[g] = 0.0f;
  if (patch < 0) return;
  const Part part = part_of(packed, capacity, blockIdx.y);
  for (int slot = threadIdx.x; slot < PIXELS; slot += THREADS) {
    const int down = slot / WINDOW, right = slot % WINDOW, y = patch / GRID, x = patch % GRID;
    const double product = __dmul_rn(axis_weights[y * WINDOW + down], axis_weights[x * WINDOW + right]);
    const int point = product > 0.0 ? point_at(part, (starts[y] + down) * SIZE + starts[x] + right) : -1;
    for (int k = 0; k < 3; k++) {
      const size_t place = 3 * static_cast<size_t>(part.first + point) + k;
      center[3 * slot + k] = point < 0 ? -1 : nearest[place];
      share[3 * slot + k] = point < 0 ? 0.0f : __fmul_rn(__double2float_rn(product), weight[place]);
    }
  }
  __syncthreads();
  // A center's first share adds the later ones, in their order.
  for (int slot = threadIdx.x; slot < SHARES; slot += THREADS) {
    const int own = center[slot];
    bool is_first = own >= 0;
    for (int other = 0; is_first && other < slot; other++) is_first = center[other] != own;
    if (!is_first) continue;
    float sum = 0.0f;
    for (int other = slot; other < SHARES; other++)
      if (center[other] == own) sum = __fadd_rn(sum, share[other]);
    row[own] = sum;
  }
}
