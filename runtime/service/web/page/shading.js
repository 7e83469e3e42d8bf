// Gray that shows the relief of a cloud: light from the upper left on a surface whose heights lie in a grid.

const SLOPE_CELLS_PER_POINT = 0.3;
const MOST_STRETCH = 2.5;
const LEAST_GRAY = 70;
const MOST_GRAY = 225;
const LIGHT = normalized([-0.45, 0.55, 0.7]);

/**
 * The gray of every point, 0 to 255, and how much farther its neighbors are than on flat ground: walls have gaps.
 * @param {Float32Array} xyz x, y and z of every point, z towards the viewer
 */
export function relief(xyz) {
  const count = xyz.length / 3;
  const gray = new Float32Array(count).fill(170), stretch = new Float32Array(count).fill(1);
  if (count < 16) return { gray, stretch };
  const grid = gridOf(xyz, count);
  const height = meanHeights(xyz, count, grid);
  for (let index = 0; index < count; index++) {
    const [column, row] = cellOf(xyz, index, grid);
    const cell = row * grid.columns + column;
    const across = slope(height, cell, column, grid.columns, 1) / grid.step;
    const along = slope(height, cell, row, grid.rows, grid.columns) / grid.step;
    const normal = normalized([-across, -along, 1]);
    stretch[index] = Math.min(MOST_STRETCH, Math.hypot(across, along, 1));
    const lit = Math.max(0, normal[0] * LIGHT[0] + normal[1] * LIGHT[1] + normal[2] * LIGHT[2]);
    gray[index] = LEAST_GRAY + (MOST_GRAY - LEAST_GRAY) * lit;
  }
  return { gray, stretch };
}

/** The typical distance of neighboring points, in the unit of the points. */
export function spacing(xyz) {
  const count = xyz.length / 3;
  if (count < 2) return 1e-3;
  const grid = gridOf(xyz, count);
  const taken = new Set();
  for (let index = 0; index < count; index++) {
    const [column, row] = cellOf(xyz, index, grid);
    taken.add(row * grid.columns + column);
  }
  return Math.sqrt((taken.size * grid.step * grid.step) / count);
}

function gridOf(xyz, count) {
  const low = [Infinity, Infinity], high = [-Infinity, -Infinity];
  for (let index = 0; index < count; index++) {
    for (let axis = 0; axis < 2; axis++) {
      const value = xyz[3 * index + axis];
      low[axis] = Math.min(low[axis], value);
      high[axis] = Math.max(high[axis], value);
    }
  }
  const width = Math.max(high[0] - low[0], 1e-9), depth = Math.max(high[1] - low[1], 1e-9);
  const step = Math.max(Math.sqrt((width * depth) / (count * SLOPE_CELLS_PER_POINT)), Math.max(width, depth) / 2000);
  return { low, step, columns: Math.floor(width / step) + 1, rows: Math.floor(depth / step) + 1 };
}

function cellOf(xyz, index, grid) {
  return [
    Math.min(grid.columns - 1, Math.floor((xyz[3 * index] - grid.low[0]) / grid.step)),
    Math.min(grid.rows - 1, Math.floor((xyz[3 * index + 1] - grid.low[1]) / grid.step)),
  ];
}

function meanHeights(xyz, count, grid) {
  const sum = new Float64Array(grid.columns * grid.rows), members = new Uint32Array(sum.length);
  for (let index = 0; index < count; index++) {
    const [column, row] = cellOf(xyz, index, grid);
    sum[row * grid.columns + column] += xyz[3 * index + 2];
    members[row * grid.columns + column] += 1;
  }
  return sum.map((total, cell) => (members[cell] ? total / members[cell] : NaN));
}

/** Change of height by cell, from the neighbors that there are. */
function slope(height, cell, at, length, stride) {
  const here = height[cell];
  const before = at > 0 ? height[cell - stride] : NaN, after = at < length - 1 ? height[cell + stride] : NaN;
  if (!Number.isNaN(before) && !Number.isNaN(after)) return (after - before) / 2;
  if (!Number.isNaN(after)) return after - here;
  return Number.isNaN(before) ? 0 : here - before;
}

function normalized(vector) {
  const length = Math.hypot(...vector);
  return vector.map((component) => component / length);
}
