// The three nearest centers of every point and what each counts: `interpolation_matrix` of pooling.py.
#include "part.cuh"

#define INFINITE __longlong_as_double(0x7ff0000000000000ll)

// centers: (B, G, 3). nearest, weight: three a point. Grid: blocks of points by B.
extern "C" __global__ void __launch_bounds__(THREADS)
    nearest_centers(const int *packed, int capacity, const float *centers, int n_groups, int *nearest, float *weight) {
  __shared__ float tile[3 * THREADS];
  const Part part = part_of(packed, capacity, blockIdx.y);
  const int i = blockIdx.x * THREADS + threadIdx.x, last = part.n - 1;
  // Threads beyond the last point work on it too, for the barriers, and write nothing.
  const int own = i < part.n ? i : last;
  const float x = part.x[own], y = part.y[own], z = part.z[own];
  centers += 3 * static_cast<size_t>(blockIdx.y) * n_groups;
  // Where there are fewer than three centers, the others are infinitely far and count nothing.
  double d0 = INFINITE, d1 = INFINITE, d2 = INFINITE;
  int c0 = 0, c1 = 0, c2 = 0;
  float limit = __double2float_ru(INFINITE);
  for (int begin = 0; begin < n_groups; begin += THREADS) {
    const int size = n_groups - begin < THREADS ? n_groups - begin : THREADS;
    __syncthreads();
    for (int j = threadIdx.x; j < 3 * size; j += THREADS) tile[j] = centers[3 * begin + j];
    __syncthreads();
    for (int j = 0; j < size; j++) {
      const float cx = tile[3 * j], cy = tile[3 * j + 1], cz = tile[3 * j + 2];
      if (squared(cx, cy, cz, x, y, z) > limit) continue;
      // Centers come in ascending order: of equally near the earlier one stays.
      const double d = distance(cx, cy, cz, x, y, z);
      const int c = begin + j;
      if (d < d0) {
        d2 = d1, c2 = c1, d1 = d0, c1 = c0, d0 = d, c0 = c;
      } else if (d < d1) {
        d2 = d1, c2 = c1, d1 = d, c1 = c;
      } else if (d < d2) {
        d2 = d, c2 = c;
      }
      limit = widened(__double2float_ru(__dmul_rn(d2, d2)));
    }
  }
  if (i > last) return;
  const double w0 = __ddiv_rn(1.0, __dadd_rn(__dmul_rn(d0, d0), 1e-8));
  const double w1 = __ddiv_rn(1.0, __dadd_rn(__dmul_rn(d1, d1), 1e-8));
  const double w2 = __ddiv_rn(1.0, __dadd_rn(__dmul_rn(d2, d2), 1e-8));
  const double sum = __dadd_rn(__dadd_rn(w0, w1), w2);
  const size_t place = 3 * static_cast<size_t>(part.first + i);
  nearest[place] = c0, nearest[place + 1] = c1, nearest[place + 2] = c2;
  weight[place] = __double2float_rn(__ddiv_rn(w0, sum));
  weight[place + 1] = __double2float_rn(__ddiv_rn(w1, sum));
  weight[place + 2] = __double2float_rn(__ddiv_rn(w2, sum));
}
