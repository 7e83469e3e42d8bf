"""Raw or preprocessed is decided once from all scans; so is the side of the plane on which parts stand."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from cmdiad.runtime.bundle.parameters import KINECT, STRUCTURED_LIGHT, Preprocessing
from cmdiad.runtime.errors import WITH_A_BUNDLE, ScanError, UsageError
from cmdiad.runtime.preparation.prepare import evidence_of, prepare
from cmdiad.runtime.preparation.raw_or_preprocessed import Settled, decide_plane, decide_side, settle
from cmdiad.runtime.preparation.supporting import PlaneEvidence
from cmdiad.runtime.sensor.find import find_scans
from cmdiad.runtime.sensor.scan import read_scan

from .scenes import Points, dome, framed, height_map, places, scan, tube, without_table

SHARED = Path(__file__).parents[4] / "shared" / "data"
needs_real_scans = pytest.mark.skipif(not SHARED.is_dir(), reason="the real scans beside the checkout are absent")


def evidence(scans: list[Points], preprocessing: Preprocessing = STRUCTURED_LIGHT) -> list[PlaneEvidence]:
    return [evidence_of(points, preprocessing) for points in scans]


def names(scans: list[Points]) -> list[str]:
    return [f"{number:03d}.tiff" for number in range(len(scans))]


def settled(scans: list[Points], preprocessing: Preprocessing = STRUCTURED_LIGHT) -> Settled:
    return settle(preprocessing, evidence(scans, preprocessing), names(scans))


def raw(count: int = 4) -> list[Points]:
    return [scan(dome(at=(0.002 * seed, 0.0))[0], seed) for seed in range(count)]


def preprocessed(count: int = 4) -> list[Points]:
    return [without_table(scan(height, 7), part) for height, part in (dome(at=(0.003 * n, 0)) for n in range(count))]


def plate(at: float, seed: int) -> Points:
    """A preprocessed flat plate with a boss on it."""
    x, y = places((160, 160))
    boss = np.hypot(x - at, y) < 0.006
    return without_table(scan(np.where(boss, 0.02, 0.01), seed), np.hypot(x - at, y) < 0.025)


def test_raw_scans_are_raw() -> None:
    found = settled(raw())
    assert found.preprocessing.plane == "always" and found.preprocessing.side == "origin"
    assert found.warnings == ()
    assert "4 of 4 scans show a plane" in found.reason


def test_preprocessed_scans_are_preprocessed() -> None:
    found = settled(preprocessed())
    assert found.preprocessing.plane == "never" and found.warnings == ()


@pytest.mark.parametrize("margin", [1, 9, 30])
def test_an_empty_frame_around_raw_scans_does_not_make_them_preprocessed(margin: int) -> None:
    scans = [framed(points, margin) for points in raw()]
    found = settled(scans)
    assert found.preprocessing.plane == "always"
    plain = prepare(raw()[1], found.preprocessing)
    kept = prepare(scans[1], found.preprocessing).kept
    np.testing.assert_array_equal(kept[margin:-margin, margin:-margin], plain.kept)
    assert kept.sum() == plain.kept.sum()


def test_a_tube_that_fills_the_border_is_no_table() -> None:
    scans = [tube(seed) for seed in range(5)]
    preprocessing = settled(scans).preprocessing
    assert preprocessing.plane == "never"
    for points in scans:
        np.testing.assert_array_equal(prepare(points, preprocessing).kept, points.any(axis=-1))
        # Nor is it one by itself.
        np.testing.assert_array_equal(prepare(points, STRUCTURED_LIGHT).kept, points.any(axis=-1))


@pytest.mark.parametrize("margin", [0, 20])
def test_flat_plates_are_parts(margin: int) -> None:
    flat = [np.pad(scan(np.full((120, 140), 0.01), seed), ((margin,), (margin + seed,), (0,))) for seed in range(4)]
    assert settled(flat).preprocessing.plane == "never"


def test_plates_with_a_boss_that_lie_where_they_happen_to_are_parts() -> None:
    scans = [plate(0.004 * number, number) for number in range(5)]
    preprocessing = settled(scans).preprocessing
    assert preprocessing.plane == "never"
    np.testing.assert_array_equal(prepare(scans[2], preprocessing).kept, scans[2].any(axis=-1))


def test_one_framed_scan_alone_is_refused_not_guessed() -> None:
    with pytest.raises(ScanError, match=f"plane=always if scans are raw, .*never if they are not{WITH_A_BUNDLE}$"):
        prepare(framed(raw()[0], 12), STRUCTURED_LIGHT)


def test_a_table_measured_on_a_seventh_of_the_border_or_a_little_more_gives_one_part() -> None:
    height, part = dome()
    always = msgspec.structs.replace(STRUCTURED_LIGHT, plane="always")
    for share in (0.13, 0.14, 0.16, 0.17):
        points = scan(height)
        dark = np.random.default_rng(1).random(part.shape) > share
        points[dark & ~part] = 0
        np.testing.assert_array_equal(prepare(points, always).kept, part)


def test_an_exception_is_warned_of_and_a_mixture_refused() -> None:
    found = settled([*raw(6), *preprocessed(1)])
    assert found.preprocessing.plane == "always"
    assert any("006.tiff" in warning for warning in found.warnings)
    with pytest.raises(UsageError, match=r"4 of 8 scans \(000.tiff.*--set .*plane=never"):
        settled([*raw(4), *preprocessed(4)])


def test_what_was_told_stays_and_is_warned_of() -> None:
    told = settled(raw(), msgspec.structs.replace(STRUCTURED_LIGHT, plane="never"))
    assert told.preprocessing.plane == "never"
    assert "4 of 4 scans" in told.warnings[0] and "preprocessing.plane=never" in told.warnings[0]
    told = settled(preprocessed(), msgspec.structs.replace(STRUCTURED_LIGHT, plane="always"))
    assert told.preprocessing.plane == "always" and told.warnings


def test_the_side_is_where_parts_stand_in_any_frame() -> None:
    frames = {
        "origin": raw(),
        "grid": [height_map(points) for points in raw()],
        "mirrored": [height_map(points)[::-1].copy() for points in raw()],
    }
    frames_far = {
        "grid": [height_map(points, table_z=0.3) for points in raw()],
        "origin": [points[:, ::-1].copy() for points in raw()],
    }
    part = prepare(raw()[1], STRUCTURED_LIGHT).kept
    for side, scans in [*frames.items(), *frames_far.items()]:
        found = settled(scans)
        assert (found.preprocessing.plane, found.preprocessing.side) == ("always", side)
        kept = prepare(scans[1], found.preprocessing).kept
        assert kept.sum() == part.sum()
        # And a scan alone finds the same.
        np.testing.assert_array_equal(prepare(scans[1], STRUCTURED_LIGHT).kept, kept)


def test_one_mirrored_scan_among_others_is_named() -> None:
    scans = [height_map(points) for points in raw(5)]
    scans[3] = scans[3][:, ::-1].copy()
    decided = decide_side(evidence(scans), names(scans))
    assert decided.side == "grid"
    assert "1 of 5 scans (003.tiff)" in decided.warnings[0]


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turned_scans_keep_their_part(turns: int) -> None:
    points = raw()[1]
    part = prepare(points, STRUCTURED_LIGHT).kept
    for frame in (points, height_map(points)):
        np.testing.assert_array_equal(
            prepare(np.rot90(frame, turns).copy(), STRUCTURED_LIGHT).kept, np.rot90(part, turns)
        )


@needs_real_scans
def test_real_crops_are_preprocessed_and_real_scenes_raw() -> None:
    crops = [read_scan(path).points for path in find_scans([SHARED / "tabletop_objects" / "box" / "train"])]
    scenes = [read_scan(path / "xyz.tiff").points for path in sorted((SHARED / "tabletop_scenes").iterdir())]
    for preprocessing in (KINECT, STRUCTURED_LIGHT):
        for scans, plane in ((crops, "never"), (scenes, "always")):
            decision = decide_plane(evidence(scans, preprocessing), names(scans))
            assert (decision.plane, decision.warnings) == (plane, ())
