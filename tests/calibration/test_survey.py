"""What normal scans show of their parts is recorded, and what does not fit is said with the scan's name."""

import numpy as np
import pytest
from cmdiad.calibration.survey import Survey, settled_preprocessing
from cmdiad.runtime.bundle.parameters import Preprocessing
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.preparation.prepared_part import prepare_part
from cmdiad.runtime.sensor.part import Part

SIDE = 120
RAW = Preprocessing(plane="always", side="origin")


def box(half_mm, block_mm=0.0, seed=0):
    """A box on a table, with a smaller block beside it; another scan of it for another seed."""
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    x, y = (columns - SIDE / 2) * 1e-3, (rows - SIDE / 2) * 1e-3
    standing = (np.abs(x) < half_mm * 1e-3) & (np.abs(y) < half_mm * 1e-3)
    standing |= (np.abs(x - 0.045) < block_mm * 5e-4) & (np.abs(y) < block_mm * 5e-4)
    noise = np.random.default_rng(seed).normal(0, 5e-5, x.shape)
    return Part(np.stack([x, y, np.where(standing, 0.39, 0.4) + noise], axis=-1).astype(np.float32), None)


def boxes(count):
    """Scans of one box."""
    return [box(15, seed=seed) for seed in range(count)]


def survey_of(parts, tmp_path):
    survey = Survey([tmp_path / f"{number}.tiff" for number in range(len(parts))])
    for part in parts:
        survey.add(part, [prepare_part(part, {"pc"}, RAW)])
    return survey


def test_the_range_is_that_of_all_scans(tmp_path):
    part_range = survey_of([box(15), box(16), box(17)], tmp_path).part_range()
    assert part_range.n_parts == 3 and part_range.on_plane and part_range.other_objects == 0
    assert part_range.diameter_m.least == pytest.approx(np.hypot(29, 29) * 1e-3, rel=0.15)
    assert part_range.diameter_m.greatest == pytest.approx(np.hypot(33, 33) * 1e-3, rel=0.15)


def test_scans_that_agree_give_no_warning(tmp_path):
    assert survey_of([box(15), box(16), box(17)], tmp_path).warnings() == []


def test_another_size_and_something_beside_the_part_are_said_with_the_scan(tmp_path):
    warnings = " ".join(survey_of([*boxes(3), box(26), box(15, block_mm=12, seed=9)], tmp_path).warnings())
    assert "3.tiff" in warnings and "4.tiff" in warnings and "0.tiff" not in warnings


def test_the_sheet_shows_at_most_64_scans_however_large_they_are(tmp_path):
    few, many = survey_of(boxes(3), tmp_path).sheet(), survey_of(boxes(70), tmp_path).sheet()
    assert few.dtype == many.dtype == np.uint8 and few.shape[2] == 3 and many.shape[0] > few.shape[0]
    large = Part(np.repeat(np.repeat(box(15).points, 8, axis=0), 8, axis=1), None)
    survey = Survey([tmp_path / "0.tiff"])
    prepared = prepare_part(box(15), {"pc"}, RAW)
    object.__setattr__(prepared, "kept", np.repeat(np.repeat(prepared.kept, 8, axis=0), 8, axis=1))
    survey.add(large, [prepared])
    assert survey._tiles[0].picture.nbytes < large.points.nbytes / 8
    assert survey.sheet().shape == survey_of([box(15)], tmp_path).sheet().shape


def test_an_image_has_no_plane_to_decide_on(exported_bundle, tmp_path):
    import msgspec

    manifest = msgspec.structs.replace(open_bundle(exported_bundle).manifest, route="single", main="rgb")
    asked = Preprocessing()
    settled = settled_preprocessing(manifest, asked, [tmp_path / "absent.png"], lambda *_: None)
    assert settled.preprocessing == asked and not settled.reason and not settled.warnings
