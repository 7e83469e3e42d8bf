"""The largest cluster on the grid, against DBSCAN-like single linkage on the bare points."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from cmdiad.runtime.preparation.clusters import _components, find_clusters
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

EPS = 0.006
PITCH = 0.001

Planes = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def flat(height: int, width: int) -> tuple[Planes, Mask]:
    """A flat grid of points, 1 mm apart."""
    y, x = np.mgrid[:height, :width] * PITCH
    planes: Planes = np.stack([x, y, np.full_like(x, 0.5)]).astype(np.float32)
    return planes, np.ones((height, width), dtype=bool)


def cluster(planes: Planes, mask: Mask, min_points: int = 30) -> Mask:
    return find_clusters(planes, mask, EPS, min_points).mask(1)


def bare_points_cluster(planes: Planes, mask: Mask) -> Mask:
    """Single linkage of all pairs of points, without any grid."""
    points = planes[:, mask].T
    pairs = cKDTree(points).sparse_distance_matrix(cKDTree(points), EPS)
    labels = connected_components(pairs)[1]
    result = np.zeros_like(mask)
    result[mask] = labels == np.bincount(labels).argmax()
    return result


def test_the_larger_of_two_far_pieces_stays() -> None:
    planes, mask = flat(40, 60)
    mask[:, 20:30] = False
    kept = cluster(planes, mask)
    assert kept[:, 30:].all()
    assert not kept[:, :30].any()


@pytest.mark.parametrize("gap, joined", [(4, True), (6, False)])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_gap_is_bridged_up_to_eps(gap: int, joined: bool, axis: int) -> None:
    planes, mask = flat(60, 60)
    np.moveaxis(mask, axis, 0)[20 : 20 + gap] = False
    kept = cluster(planes, mask)
    assert (kept == mask).all() == joined


@pytest.mark.parametrize("step, joined", [(0.005, True), (0.007, False)])
@pytest.mark.parametrize("axis", [1, 2])
def test_a_step_in_depth_splits_above_eps(step: float, joined: bool, axis: int) -> None:
    planes, mask = flat(60, 60)
    np.moveaxis(planes, axis, 0)[:20, 2] -= step
    kept = cluster(planes, mask)
    assert kept.all() == joined
    assert np.moveaxis(kept, axis - 1, 0)[20:].all()


def test_a_crumb_beside_the_cluster_stays_and_a_far_one_goes() -> None:
    planes, mask = flat(60, 60)
    mask[:, 40:] = False
    mask[10:12, 42:44] = True
    mask[30:32, 55:57] = True
    kept = cluster(planes, mask)
    assert kept[10:12, 42:44].all()
    assert not kept[30:32, 55:57].any()


def test_a_crumb_does_not_join_two_clusters() -> None:
    planes, mask = flat(60, 60)
    mask[:, 30:40] = False
    mask[10:12, 34:36] = True
    kept = cluster(planes, mask)
    assert kept[:, :30].all()
    assert not kept[:, 40:].any()


def test_noise_alone_is_no_cluster() -> None:
    planes, mask = flat(60, 60)
    mask[:] = False
    mask[::20, ::20] = True
    assert not cluster(planes, mask).any()
    assert not cluster(planes, np.zeros_like(mask)).any()


def test_shapes_that_turn_back_on_themselves_are_one_piece() -> None:
    planes, mask = flat(81, 81)
    planes = planes * np.float32(10)  # 10 mm apart: no gap is bridged
    mask[:] = False
    mask[::2] = True
    mask[1::4, 0] = True
    mask[3::4, -1] = True
    assert (find_clusters(planes, mask, 0.0101, 30).mask(1) == mask).all()
    mask[41, 0] = mask[39, -1] = False
    kept = find_clusters(planes, mask, 0.0101, 30).mask(1)
    assert 0 < kept.sum() < mask.sum()


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_single_linkage_of_the_bare_points(seed: int) -> None:
    rng = np.random.default_rng(seed)
    planes, mask = flat(50, 60)
    planes[2] += np.where(planes[0] > 0.035, 0.03, 0) + rng.normal(0, 2e-4, mask.shape)
    mask &= rng.random(mask.shape) > 0.2
    mask[:, 12:16] = False
    mask[40:47] = False
    np.testing.assert_array_equal(cluster(planes, mask, min_points=1), bare_points_cluster(planes, mask))


@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.02, 0.98), min_points=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_its_own_result_is_one_cluster(seed: int, share: float, min_points: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 40, 2)
    planes, mask = flat(height, width)
    planes *= np.float32(3)
    planes[2] += rng.normal(0, 0.003, mask.shape)
    mask &= rng.random(mask.shape) < share
    once = cluster(planes, mask, min_points)
    assert not (once & ~mask).any()
    np.testing.assert_array_equal(cluster(planes, once, min_points), once)


def test_rows_and_columns_are_alike() -> None:
    rng = np.random.default_rng(5)
    planes, mask = flat(50, 70)
    planes *= np.float32(3)
    mask &= rng.random(mask.shape) < 0.6
    turned = cluster(np.ascontiguousarray(planes.transpose(0, 2, 1)), mask.T.copy())
    np.testing.assert_array_equal(turned.T, cluster(planes, mask))


@given(seed=st.integers(0, 2**32 - 1), n_nodes=st.integers(1, 400), share=st.floats(0, 2))
@settings(max_examples=100, deadline=None)
def test_components_are_scipys(seed: int, n_nodes: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.integers(n_nodes, size=(2, int(share * n_nodes))).astype(np.int32)
    graph = csr_array((np.ones(len(first)), (first, second)), shape=(n_nodes, n_nodes))
    expected = connected_components(graph, directed=False)[1]
    np.testing.assert_array_equal(_components(n_nodes, (first, second)), expected)


def test_a_chain_through_all_nodes_in_any_order_is_one_component() -> None:
    order = np.random.default_rng(0).permutation(5000).astype(np.int32)
    assert not _components(5000, (order[:-1], order[1:])).any()
