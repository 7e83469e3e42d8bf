"""The clusters of an organized point cloud, by single linkage on the pixel grid.

The paper clusters the bare points with DBSCAN (eps 0.006 m, 30 points). On a grid the neighbors are known:
pixels side by side belong together when their points are within eps, and so do the two ends of a gap in a row
or column. Runs of linked pixels, not pixels, are the nodes of the graph, so it stays small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_Mask = npt.NDArray[np.bool_]
_Indices = npt.NDArray[np.int32]
_Pairs = tuple[_Indices, _Indices]


@dataclass(frozen=True)
class Clusters:
    """The clusters of an organized point cloud, the largest first.

    Attributes:
        labels: (H, W) int32: 1 for the largest cluster, 2 for the next; 0 where there is none.
        sizes: (K,) int64, pixels of each, without what belongs to it as a crumb.
    """

    labels: npt.NDArray[np.int32]
    sizes: npt.NDArray[np.int64]

    def mask(self, number: int) -> _Mask:
        """Which pixels are of the cluster `number`, from 1: (H, W) bool."""
        of_cluster: _Mask = self.labels == number
        return of_cluster


def find_clusters(planes_3hw: npt.NDArray[np.float32], mask_hw: _Mask, distance_m: float, min_points: int) -> Clusters:
    """All clusters of at least `min_points` pixels.

    Pieces of fewer than `min_points` pixels belong to a cluster they are within `distance_m` of (the largest such),
    but join no two clusters and make none of their own, like DBSCAN's border points.

    Args:
        planes_3hw: (3, H, W) float32: x, y and z in meters.
        mask_hw: (H, W) bool, the pixels to cluster.
        distance_m: eps, meters.
        min_points: the smallest piece that is more than noise.
    """
    pieces = _grid_pieces(planes_3hw, mask_hw, distance_m)
    solid = pieces.sizes >= min_points
    if not solid.any():
        return Clusters(np.zeros(mask_hw.shape, np.int32), np.zeros(0, np.int64))
    label_of_piece, sizes = _labels_by_size(pieces, solid)
    _join_crumbs(label_of_piece, solid, pieces.bridges)
    labels = label_of_piece[pieces.piece_of_run].take(pieces.run_of_pixel)
    labels *= mask_hw
    return Clusters(labels, sizes)


def _labels_by_size(pieces: _Pieces, solid: _Mask) -> tuple[_Indices, npt.NDArray[np.int64]]:
    """The clusters' numbers, from 1, of every solid piece (0 for crumbs), and the clusters' sizes, descending."""
    first, second = pieces.bridges
    joining = solid[first] & solid[second] & (first != second)
    cluster_of_piece = _components(len(solid), (first[joining], second[joining]))
    sizes = np.bincount(cluster_of_piece, weights=pieces.sizes * solid).astype(np.int64)
    order = np.argsort(-sizes, kind="stable")
    label_of_cluster = np.empty(len(sizes), np.int32)
    label_of_cluster[order] = np.arange(1, len(sizes) + 1)
    labels: _Indices = np.where(solid, label_of_cluster[cluster_of_piece], 0).astype(np.int32)
    return labels, sizes[order][: np.count_nonzero(sizes)]


def _join_crumbs(label_of_piece: _Indices, solid: _Mask, bridges: _Pairs) -> None:
    """Give crumbs the label of the largest cluster they are near, in place."""
    first, second = (np.concatenate(ends) for ends in (bridges, bridges[::-1]))
    near = ~solid[first] & solid[second]
    crumbs, labels = first[near], label_of_piece[second[near]]
    # The largest cluster has the smallest label, and is written last.
    order = np.argsort(-labels, kind="stable")
    label_of_piece[crumbs[order]] = labels[order]


@dataclass(frozen=True)
class _Pieces:
    """Pixels linked side by side, and which pieces are near each other across a gap.

    Attributes:
        run_of_pixel: (H, W) int32, arbitrary outside the mask.
        piece_of_run: (R,) int32.
        sizes: (P,) int64, how many pixels each piece has.
        bridges: pairs of pieces, (B,) int32 each.
    """

    run_of_pixel: _Indices
    piece_of_run: _Indices
    sizes: npt.NDArray[np.int64]
    bridges: _Pairs


def _grid_pieces(planes_3hw: npt.NDArray[np.float32], mask_hw: _Mask, distance_m: float) -> _Pieces:
    across = _within(planes_3hw[:, :, :-1], planes_3hw[:, :, 1:], distance_m)
    across &= mask_hw[:, :-1] & mask_hw[:, 1:]
    down = _within(planes_3hw[:, :-1], planes_3hw[:, 1:], distance_m)
    down &= mask_hw[:-1] & mask_hw[1:]
    starts, ends = _runs(mask_hw, across)
    # Pixels before the first run get -1, the last run: harmless, they are not in the mask.
    run_of_pixel = (np.cumsum(starts, dtype=np.int32) - 1).reshape(mask_hw.shape)
    first_pixels, last_pixels = np.flatnonzero(starts), np.flatnonzero(ends)
    piece_of_run = _components(len(first_pixels), _runs_linked_down(run_of_pixel, across, down))
    sizes = np.bincount(piece_of_run, weights=last_pixels - first_pixels + 1)
    row_gaps = _gaps(first_pixels, last_pixels, mask_hw.shape[1])
    starts_down, ends_down = _runs(mask_hw.T.copy(), down.T)
    gaps_down = _gaps(np.flatnonzero(starts_down), np.flatnonzero(ends_down), mask_hw.shape[0])
    column_gaps = (_transposed(pixels, mask_hw.shape) for pixels in gaps_down)
    first, second = (np.concatenate(pixels) for pixels in zip(row_gaps, column_gaps, strict=True))
    points = planes_3hw.reshape(3, -1)
    near = _within(points[:, first], points[:, second], distance_m)
    bridges = (
        piece_of_run[run_of_pixel.ravel()[first[near]]],
        piece_of_run[run_of_pixel.ravel()[second[near]]],
    )
    return _Pieces(run_of_pixel, piece_of_run, sizes.astype(np.int64), bridges)


def _within(first_3x: npt.NDArray[np.float32], second_3x: npt.NDArray[np.float32], distance_m: float) -> _Mask:
    """Whether points (3, ...) are within a distance of each other: (...) bool."""
    total = np.zeros(first_3x.shape[1:], dtype=np.float32)
    step = np.empty_like(total)
    for first, second in zip(first_3x, second_3x, strict=True):
        np.subtract(second, first, out=step)
        step *= step
        total += step
    near: _Mask = total <= np.float32(distance_m) ** 2
    return near


def _runs_linked_down(run_of_pixel: _Indices, across: _Mask, down: _Mask) -> _Pairs:
    """Pairs of runs in neighboring rows that touch, each contact once."""
    contact = down.copy()
    contact[:, 1:] &= ~(down[:, :-1] & across[:-1] & across[1:])
    return run_of_pixel[:-1][contact], run_of_pixel[1:][contact]


def _runs(mask_hw: _Mask, linked: _Mask) -> tuple[_Mask, _Mask]:
    """The first and the last pixels, (H, W) bool each, of the runs of linked pixels in rows."""
    starts, ends = mask_hw.copy(), mask_hw.copy()
    starts[:, 1:] &= ~linked
    ends[:, :-1] &= ~linked
    return starts, ends


def _gaps(first_pixels: npt.NDArray[np.intp], last_pixels: npt.NDArray[np.intp], width: int) -> _Pairs:
    """Flat pixel indices of each run's end and the next run's start in the same row."""
    # Runs come row by row, so the next run's start is the next in the list.
    end, start = last_pixels[:-1], first_pixels[1:]
    same_row = end // width == start // width
    return end[same_row], start[same_row]


def _transposed(pixels: _Indices, shape_hw: tuple[int, int]) -> _Indices:
    """Flat indices into (H, W) of the pixels at these flat indices into (W, H)."""
    column, row = np.divmod(pixels, shape_hw[0])
    return row * shape_hw[1] + column


def _components(n_nodes: int, edges: _Pairs) -> _Indices:
    """The connected component of each node, numbered by their first nodes: (n_nodes,) int32."""
    # Each node points to one of its component with a smaller number, in the end to the smallest. SciPy's search spends
    # several times as long on making its matrix of so small a graph.
    root = np.arange(n_nodes, dtype=np.int32)
    first, second = edges
    while not np.array_equal(root[first], root[second]):
        one, other = root[first], root[second]
        np.minimum.at(root, np.maximum(one, other), np.minimum(one, other))
        while not np.array_equal(root, nearer := root[root]):
            root = nearer
    is_root = root == np.arange(n_nodes)
    labels: _Indices = (np.cumsum(is_root, dtype=np.int32) - 1)[root]
    return labels
