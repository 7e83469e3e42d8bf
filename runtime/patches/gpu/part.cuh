// How the parts of a batch lie in one buffer, as packing.py writes them: a header of the capacity's parts, each one's
// number of points and how many points lie before it, then part after part its rows of x, y, z (metres) and pixels.
#pragma once

struct Part {
  int n;             // points
  int first;         // points of the parts before it
  const float *x, *y, *z;
  const int *pixel;  // ascending places in the flattened map
};

__device__ __forceinline__ Part part_of(const int *packed, int capacity, int number) {
  const int n = packed[2 * number], first = packed[2 * number + 1];
  const int *row = packed + 2 * capacity + 4 * first;
  const float *x = reinterpret_cast<const float *>(row);
  return Part{n, first, x, x + n, x + 2 * n, row + 3 * n};
}

// NumPy's arithmetic: no fused multiply-add, summed x, y, z.
__device__ __forceinline__ float squared(float ax, float ay, float az, float bx, float by, float bz) {
  const float x = __fsub_rn(ax, bx), y = __fsub_rn(ay, by), z = __fsub_rn(az, bz);
  return __fadd_rn(__fadd_rn(__fmul_rn(x, x), __fmul_rn(y, y)), __fmul_rn(z, z));
}

// cKDTree's arithmetic: in double precision, and the root is what is compared.
__device__ __forceinline__ double distance(float ax, float ay, float az, float bx, float by, float bz) {
  const double x = __dsub_rn(ax, bx), y = __dsub_rn(ay, by), z = __dsub_rn(az, bz);
  return __dsqrt_rn(__dadd_rn(__dadd_rn(__dmul_rn(x, x), __dmul_rn(y, y)), __dmul_rn(z, z)));
}

// A squared distance in single precision is off by 5 units of 2^-24 at most, and by less than 2^-148 where it is
// subnormal. So whatever is as near as something whose square is `limit` has a square below this.
__device__ __forceinline__ float widened(float limit) {
  return __fadd_rn(__fmul_rn(limit, 1.0f + 0x1p-20f), 1e-43f);
}
