"""The metrics agree with scikit-learn and with a brute-force AUPRO over every distinct threshold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from cmdiad.calibration.detection_scores import aupro, pixel_auroc, pro_curve, roc_curve
from cmdiad.runtime.errors import UsageError
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

Maps = npt.NDArray[np.float32]
Masks = npt.NDArray[np.bool_]


def regions_of(mask: npt.NDArray[np.bool_]) -> list[list[tuple[int, int]]]:
    """8-connected regions by flood fill."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    regions = []
    while left:
        stack, region = [left.pop()], []
        while stack:
            y, x = stack.pop()
            region.append((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            stack.extend(near)
        regions.append(region)
    return regions


def brute_force_curve(maps: Maps, masks: Masks) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """One pass over all maps per distinct score."""
    regions = [(index, region) for index, mask in enumerate(masks) for region in regions_of(mask)]
    fpr, overlap = [0.0], [0.0]
    for threshold in np.unique(maps)[::-1]:
        marked = maps >= threshold
        fpr.append(float(marked[~masks].mean()))
        shares = [np.mean([marked[index][pixel] for pixel in region]) for index, region in regions]
        overlap.append(float(np.mean(shares)))
    return np.array(fpr), np.array(overlap)


def brute_force_aupro(maps: Maps, masks: Masks, limit: float) -> float:
    fpr, overlap = brute_force_curve(maps, masks)
    area = 0.0
    for x0, x1, y0, y1 in zip(fpr[:-1], fpr[1:], overlap[:-1], overlap[1:], strict=True):
        if x0 >= limit or x1 == x0:
            continue
        end = min(x1, limit)
        y_end = y0 + (y1 - y0) * (end - x0) / (x1 - x0)
        area += (end - x0) * (y0 + y_end) / 2
    return area / limit


def example(case: str) -> tuple[Maps, Masks]:
    """Three maps of 14x11 with the defects of a case; scores are higher on them."""
    rng = np.random.default_rng(7)
    masks = np.zeros((3, 14, 11), bool)
    masks[0, 3:6, 4:8] = True
    if case == "touching corners":
        masks[0, 6, 8] = True
    if case == "border":
        masks[1, 0, :5] = True
        masks[2, 10:, 10] = True
    if case == "several in a map":
        masks[1, 1:3, 1:3] = masks[1, 8, 8] = True
    maps = (rng.random(masks.shape) + 0.4 * masks).astype(np.float32)
    if case == "ties":
        maps = np.round(maps * 4) / 4
    if case == "constant":
        maps[:] = 0.5
    return maps, masks


CASES = ["one defect", "touching corners", "border", "several in a map", "ties", "constant"]


@pytest.mark.parametrize("limit", [0.01, 0.3, 1.0])
@pytest.mark.parametrize("case", CASES)
def test_aupro_is_the_brute_force_value(case: str, limit: float) -> None:
    maps, masks = example(case)
    assert aupro(maps, masks, limit) == pytest.approx(brute_force_aupro(maps, masks, limit), abs=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_pro_curve_has_a_point_at_every_distinct_score(case: str) -> None:
    maps, masks = example(case)
    for ours, brute in zip(pro_curve(maps, masks), brute_force_curve(maps, masks), strict=True):
        np.testing.assert_allclose(ours, brute, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 1.0), st.integers(1, 6))
def test_aupro_is_the_brute_force_value_on_any_set(seed: int, limit: float, levels: int) -> None:
    rng = np.random.default_rng(seed)
    maps = rng.integers(0, levels + 1, (2, 6, 5)).astype(np.float32)
    masks = rng.random((2, 6, 5)) < 0.3
    masks[0, 0, 0], masks[1, 5, 4] = True, False
    assert aupro(maps, masks, limit) == pytest.approx(brute_force_aupro(maps, masks, limit), abs=1e-6)


def test_aupro_weighs_regions_and_not_pixels() -> None:
    mask = np.zeros((10, 10), bool)
    mask[:5, :8] = True
    mask[8, 8] = True
    scores = np.zeros((10, 10))
    scores[8, 8] = 1.0
    assert aupro([scores], [mask], 0.3) == pytest.approx(0.5 + 0.5 * 0.15)


def test_aupro_of_a_perfect_map_is_one_and_of_chance_half_the_limit() -> None:
    mask = np.zeros((20, 20), bool)
    mask[5:9, 5:9] = True
    assert aupro([mask.astype(np.float64)], [mask]) == pytest.approx(1.0)
    assert aupro([np.zeros((20, 20))], [mask]) == pytest.approx(0.15)


def test_maps_of_different_sizes_and_masks_of_bytes_are_taken() -> None:
    maps = [np.arange(12.0).reshape(3, 4), np.arange(30.0).reshape(5, 6)]
    masks = [np.zeros((3, 4), np.uint8), np.zeros((5, 6), np.uint8)]
    masks[1][4, 5] = 255
    assert aupro(maps, masks) == pytest.approx(1.0)
    assert pixel_auroc(maps, masks) == pytest.approx(1.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40))
def test_the_roc_curve_is_scikit_learns_with_ties(samples: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in samples] + [0, 0], np.float32)
    labels = np.array([label for _, label in samples] + [True, False])
    ours, (fpr, tpr, _) = (
        roc_curve(scores, labels),
        reference.roc_curve(labels, scores, drop_intermediate=False),
    )
    np.testing.assert_allclose(ours[0], fpr)
    np.testing.assert_allclose(ours[1], tpr)


def test_pixel_auroc_is_scikit_learns() -> None:
    maps, masks = example("border")
    expected = reference.roc_auc_score(masks.ravel(), maps.ravel())
    assert pixel_auroc(maps, masks) == pytest.approx(expected, abs=1e-9)


GOOD_MAP, NO_DEFECT, ALL_DEFECT = np.zeros((4, 4)), np.zeros((4, 4), bool), np.ones((4, 4), bool)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: roc_curve([1.0, 2.0], [0, 0]), "0 anomalous"),
        (lambda: roc_curve([1.0, 2.0], [1, 1]), "0 normal"),
        (lambda: roc_curve([], []), "0 normal"),
        (lambda: roc_curve([1.0, 2.0, 3.0], [0, 1]), r"\(3,\) but labels of shape \(2,\)"),
        (lambda: roc_curve(np.ones((2, 3)), np.ones((3, 2))), r"\(2, 3\) but labels of shape \(3, 2\)"),
        (lambda: roc_curve(np.ones((2, 2)), np.eye(2)), r"give \(n,\)"),
        (lambda: roc_curve([1.0, np.nan], [0, 1]), "not finite"),
        (lambda: pixel_auroc([GOOD_MAP], [NO_DEFECT]), "0 anomalous"),
        (lambda: aupro([GOOD_MAP], [NO_DEFECT]), "0 defects"),
        (lambda: aupro([GOOD_MAP], [ALL_DEFECT]), "0 defect-free"),
        (lambda: aupro([GOOD_MAP], [np.eye(3)]), "shape"),
        (lambda: aupro([GOOD_MAP, GOOD_MAP], [ALL_DEFECT]), "2 maps but 1 masks"),
        (lambda: aupro([], []), "0 maps"),
        (lambda: aupro([GOOD_MAP], [np.eye(4)], fpr_limit=0.0), "limit"),
        (lambda: aupro([np.full((4, 4), np.inf)], [np.eye(4)]), "not finite"),
    ],
)
def test_what_has_no_value_is_refused_in_plain_words(call: Callable[[], float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        call()
