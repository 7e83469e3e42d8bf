"""A bundle that takes all parts of a scan, on synthetic trays: verdicts, files, JSON, batches, calibration, service."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from cmdiad.calibration.calibrated_bundle import Completed, calibrate_bundle
from cmdiad.calibration.calibration_settings import CalibrationSettings
from cmdiad.runtime.acceptance.selftest import run_selftest
from cmdiad.runtime.bundle.parameters import Preprocessing
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.errors import ScanError, UsageError
from cmdiad.runtime.inspection import Inspection
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.sensor.sensor_file import require_same_sensor
from cmdiad.runtime.service.arrival import Accepted, Arrival
from cmdiad.runtime.service.inspecting import PartJob
from cmdiad.runtime.service.recording import record_of
from cmdiad.runtime.stream import Outcome, inspect_stream

from ..conftest import made_once
from .preparation.trays import CELLS, Points, Tray, tray

ALL = Preprocessing(plane="always", side="origin", window="part", window_pixels=224, parts="all")
SETTINGS = CalibrationSettings(coreset_ratio=0.02, seed=5)
DAMAGED = tray(60, "oxoooo", defect="crack")
"""The second part is broken, clearly enough for networks of three epochs."""


def scans_in(folder: Path, trays: dict[str, Points]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, points in trays.items():
        np.save(folder / f"{name}.npy", points)
    return [folder / f"{name}.npy" for name in trays]


def calibrated(exported: Path, out: Path, preprocessing: Preprocessing = ALL, n_trays: int = 3) -> Completed:
    scans = scans_in(out.parent / "good", {str(seed): tray(seed).points() for seed in range(n_trays)})
    return calibrate_bundle(open_bundle(exported), scans, SETTINGS, out, preprocessing=preprocessing, product="cookie")


@pytest.fixture(scope="session")
def tray_bundle(exported_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "tray_bundle", lambda path: calibrated(exported_bundle, path))


@pytest.fixture(scope="module")
def inspector(tray_bundle: Path) -> Any:
    with Inspector.load(tray_bundle, threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def whole(inspector: Inspector) -> Inspection:
    return inspector.inspect(DAMAGED.points(), part_id="T-1")


def with_pair(trays: Tray) -> Points:
    """Its last two parts pushed together."""
    fifth, sixth = trays.heights[4], trays.heights[5]
    left = np.roll(fifth, CELLS - 1 - int(np.flatnonzero(fifth.any(axis=0))[-1]), axis=1)
    right = np.roll(sixth, -int(np.flatnonzero(sixth.any(axis=0))[0]), axis=1)
    return replace(trays, heights=[*trays.heights[:4], left, right]).points()


def test_only_the_broken_part_is_a_defect(whole: Inspection) -> None:
    assert [part.is_defect for part in whole.parts] == [False, True, False, False, False, False]
    assert [(part.number, part.of) for part in whole.parts] == [(number, 6) for number in range(1, 7)]


@pytest.mark.parametrize("number", range(6))
def test_a_part_s_verdict_is_that_of_the_part_alone_in_its_scan(
    inspector: Inspector, whole: Inspection, number: int
) -> None:
    (alone,) = inspector.inspect_all(DAMAGED.points(only=number))
    assert whole.parts[number].score == pytest.approx(alone.score, rel=1e-6)
    np.testing.assert_allclose(whole.parts[number].map, alone.map, rtol=1e-5, atol=1e-6)
    assert len(whole.parts[number].regions) == len(alone.regions)


def test_the_scan_has_the_worst_verdict_and_the_parts_maps_and_regions(whole: Inspection) -> None:
    worst = whole.parts[1]
    assert (whole.score, whole.is_defect, whole.verdict) == (worst.score, True, "defect")
    for part in whole.parts:
        np.testing.assert_array_equal(whole.map[part.valid], part.map[part.valid])
        assert whole.valid[part.valid].all()
    assert whole.regions_found == sum(part.regions_found for part in whole.parts) > 0
    assert [region.number for region in whole.regions] == list(range(1, len(whole.regions) + 1))
    assert whole.regions[0].peak_score == worst.regions[0].peak_score
    assert sum(whole.seconds.values()) == pytest.approx(sum(sum(part.seconds.values()) for part in whole.parts))


def test_json_of_a_scan_and_of_its_parts(whole: Inspection) -> None:
    said = json.loads(msgspec.json.encode(whole.as_json()))
    assert said["is_defect"] and len(said["parts"]) == 6 and said["not_judged"] == [] and "part" not in said
    second = said["parts"][1]
    assert (second["part"], second["parts"], second["part_id"]) == (2, 6, "T-1")
    assert second["score"] == said["score"] and second["regions"] == said["regions"]
    box, (rows, columns) = second["part_box"], DAMAGED.place(1)
    assert rows.start <= box["row"] and box["row"] + box["height"] <= rows.stop
    assert columns.start <= box["column"] and box["column"] + box["width"] <= columns.stop
    x = (box["column"] + box["width"] / 2 - DAMAGED.shape[1] / 2) * 80 / CELLS / 1000
    assert second["part_center_m"][0] == pytest.approx(x, abs=0.003)


def outcomes_of(inspector: Inspector, scans: list[Path], out: Path | None = None) -> list[Outcome]:
    return list(inspect_stream(inspector, scans, out))


def test_a_stream_has_an_outcome_and_files_of_its_own_for_each_part(inspector: Inspector, tmp_path: Path) -> None:
    scans = scans_in(tmp_path, {"a": DAMAGED.points(), "b": tray(61, "o.o...").points()})
    outcomes = outcomes_of(inspector, scans, tmp_path / "out")
    names = [Path(outcome.name).name for outcome in outcomes]
    assert names == [*(f"a.npy#{number}" for number in range(1, 7)), "b.npy#1", "b.npy#2"]
    files = [path for outcome in outcomes for path in (outcome.heatmap, outcome.map) if path is not None]
    assert len(set(files)) == 16 and all(path.is_file() for path in files)
    assert outcomes[1].heatmap is not None and outcomes[1].heatmap.name == "a.npy_part2_heatmap.png"
    said = outcomes[7].as_json()
    assert (said["scan"], said["part"], said["parts"]) == (str(scans[1]), 2, 2)


def test_parts_of_scans_go_through_the_line_graph_together(
    inspector: Inspector, tray_bundle: Path, tmp_path: Path
) -> None:
    scans = scans_in(tmp_path, {"a": DAMAGED.points(), "b": tray(61, "o.o...").points()})
    expected = outcomes_of(inspector, scans)
    with Inspector.load(tray_bundle, threads=1, graph="line", batch=4) as line:
        actual = outcomes_of(line, scans)
    for one, other in zip(expected, actual, strict=True):
        assert one.inspection is not None and other.inspection is not None
        assert one.name == other.name and one.inspection.is_defect == other.inspection.is_defect
        assert other.inspection.score == pytest.approx(one.inspection.score, rel=1e-3)


def test_parts_that_touch_are_not_judged_and_the_others_are(inspector: Inspector, tmp_path: Path) -> None:
    scans = scans_in(tmp_path, {"pair": with_pair(tray(62))})
    outcomes = outcomes_of(inspector, scans)
    assert [outcome.part for outcome in outcomes] == [1, 2, 3, 4, None]
    assert all(outcome.inspection is not None for outcome in outcomes[:4])
    assert isinstance(outcomes[4].error, ScanError) and "1 other object in view" in str(outcomes[4].error)
    whole = inspector.inspect(np.load(scans[0]))
    assert whole.verdict == "error" and not whole.is_defect and len(whole.parts) == 4
    assert len(whole.as_json()["not_judged"]) == 1
    with pytest.raises(ScanError, match="1 other object in view"):
        inspector.inspect_all(np.load(scans[0]))


def test_a_part_that_is_cut_off_is_an_error_of_its_own(inspector: Inspector, tmp_path: Path) -> None:
    points = tray(63).points()
    points[:, : 16 + 40] = 0  # the first and the fourth part are cut
    outcomes = outcomes_of(inspector, scans_in(tmp_path, {"cut": points}))
    assert [outcome.part for outcome in outcomes] == [1, 2, 3, 4, 5, 6]
    assert [outcome.inspection is None for outcome in outcomes] == [True, False, False, True, False, False]
    assert "part 4 of 6 is not a part" in str(outcomes[3].error) and "cut off" in str(outcomes[3].error)


def test_a_scan_without_a_part_is_one_error(inspector: Inspector, tmp_path: Path) -> None:
    scans = scans_in(tmp_path, {"empty": tray(1, "......").points(), "full": DAMAGED.points()})
    outcomes = outcomes_of(inspector, scans)
    assert outcomes[0].inspection is None and outcomes[0].part is None and outcomes[0].error is not None
    assert len(outcomes) == 7


def record(inspection: Inspection) -> Any:
    accepted = Accepted(7, Arrival("test", "tray.npy", product="cookie"), 0.0, is_kept=False)
    loaded: Any = SimpleNamespace(digest="0" * 64)
    return record_of(PartJob(accepted, None, loaded, inspection=inspection))


def test_a_line_has_one_result_a_scan_with_its_parts(inspector: Inspector, whole: Inspection) -> None:
    made = record(whole)
    assert (made.verdict, made.score) == ("defect", whole.parts[1].score)
    assert [part["is_defect"] for part in made.result["parts"]] == [False, True, False, False, False, False]
    pair = record(inspector.inspect(with_pair(tray(62))))
    assert pair.verdict == "error" and "1 other object in view" in pair.result["error"]["message"]


@pytest.mark.slow
def test_calibration_leaves_out_whole_scans(exported_bundle: Path, tmp_path: Path) -> None:
    """Trays of equal parts would score near zero if a part's neighbors stayed in the banks."""
    same = tray(1, "oo", 2)
    twins = [replace(same, heights=[tray(seed, "o").heights[0]] * 2, seed=seed) for seed in range(3)]
    scans = scans_in(tmp_path / "twins", {str(number): one.points() for number, one in enumerate(twins)})
    done = calibrate_bundle(
        open_bundle(exported_bundle), scans, SETTINGS, tmp_path / "b", preprocessing=ALL, with_line_graph=False
    )
    single = msgspec.structs.replace(ALL, parts="largest")
    alone = scans_in(tmp_path / "single", {str(number): one.points(only=0) for number, one in enumerate(twins)})
    reference = calibrate_bundle(
        open_bundle(exported_bundle), alone, SETTINGS, tmp_path / "c", preprocessing=single, with_line_graph=False
    )
    assert done.manifest.calibration is not None and done.manifest.calibration.n_scans == 6
    assert min(done.scores) > 0.7 * min(reference.scores)
    assert [str(part).rpartition("/")[2] for part in done.parts][:3] == ["0.npy#1", "0.npy#2", "1.npy#1"]


@pytest.mark.slow
def test_the_bundle_passes_its_own_test(tray_bundle: Path) -> None:
    assert run_selftest(open_bundle(tray_bundle)).passed


def test_inspecting_with_other_parts_or_region_says_what_must_be_calibrated_again(tray_bundle: Path) -> None:
    known = open_bundle(tray_bundle).manifest.description
    require_same_sensor(known, None, ["preprocessing.parts=all"])
    with pytest.raises(UsageError, match=r"preprocessing\.parts all -> largest.*must be made again.*leave it out"):
        require_same_sensor(known, None, ["preprocessing.parts=largest"])
    with pytest.raises(UsageError, match=r"preprocessing\.roi not given -> 1,2,30,40.*must be made again"):
        require_same_sensor(known, None, ["preprocessing.roi=1,2,30,40"])
