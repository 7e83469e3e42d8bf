"""A preprocessed copy: cleaned, registered, resumable, never in place, and not preprocessed twice."""

import csv
import os
import shutil

import numpy as np
import pytest
import tifffile
from cmdiad.runtime.bundle.parameters import EYECANDIES, STRUCTURED_LIGHT
from cmdiad.runtime.errors import ScanError, UsageError
from cmdiad.runtime.preparation.prepare import evidence_of, prepare
from cmdiad.runtime.preparation.raw_or_preprocessed import settle
from cmdiad.runtime.sensor.dataset import find_classes, find_samples
from cmdiad.runtime.sensor.image import read_rgb
from cmdiad.runtime.sensor.missing import valid_mask
from cmdiad.runtime.sensor.scan import read_scan
from cmdiad.training.preprocess import REPORT, preprocess_dataset
from PIL import Image


@pytest.fixture(scope="module")
def written(synth_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("preprocessed") / "data"
    removals = preprocess_dataset(synth_data, out, [], STRUCTURED_LIGHT, 1, lambda *_: None)
    return out, removals


def test_only_the_part_is_left_in_points_and_image(written, synth_data):
    out, _ = written
    for kind in ("train/good", "test/crack"):
        scan = out / "gland" / kind / "xyz" / "000.tiff"
        points = read_scan(scan).points
        raw = read_scan(synth_data / "gland" / kind / "xyz" / "000.tiff").points
        kept = valid_mask(points)
        assert 0.02 < kept.mean() < 0.6
        np.testing.assert_array_equal(kept, prepare(raw, STRUCTURED_LIGHT).kept)
        np.testing.assert_array_equal(points[kept], raw[kept])
        assert not read_rgb(scan.parent.parent / "rgb" / "000.png")[~kept].any()


def test_a_preprocessed_scan_is_not_preprocessed_again(written):
    out, _ = written
    points = read_scan(out / "gland" / "train" / "good" / "xyz" / "001.tiff").points
    np.testing.assert_array_equal(prepare(points, STRUCTURED_LIGHT).kept, valid_mask(points))


def test_a_scan_far_from_its_origin_keeps_its_coordinates(synth_data, tmp_path):
    shutil.copytree(synth_data, tmp_path / "data")
    for scan in (tmp_path / "data").glob("gland/*/*/xyz/*.tiff"):
        points = tifffile.imread(scan).astype(np.float64)
        moved = np.where(points.any(axis=-1, keepdims=True), points + np.array([0, 0, 24.6]), 0)
        tifffile.imwrite(scan, moved, photometric="rgb")
    preprocess_dataset(tmp_path / "data", tmp_path / "out", [], STRUCTURED_LIGHT, 1, lambda *_: None)
    copy = read_scan(tmp_path / "out" / "gland" / "test" / "crack" / "xyz" / "000.tiff")
    kept = valid_mask(copy.points)
    assert 0.02 < kept.mean() < 0.6
    np.testing.assert_allclose((copy.points + copy.origin)[kept], moved_points(synth_data)[kept], atol=1e-6)


def moved_points(synth_data):
    return read_scan(synth_data / "gland" / "test" / "crack" / "xyz" / "000.tiff").points + np.array([0, 0, 24.6])


def test_names_that_are_not_utf8_are_copied_and_reported(synth_data, tmp_path):
    odd = os.fsdecode(b"geh\xe4use")
    shutil.copytree(synth_data / "gland" / "train", tmp_path / "data" / odd / "train")
    for file in (tmp_path / "data").rglob("000.*"):
        file.rename(file.with_stem(os.fsdecode(b"part-\xff")))
    preprocess_dataset(tmp_path / "data", tmp_path / "out", [], STRUCTURED_LIGHT, 1, lambda *_: None)
    assert (tmp_path / "out" / odd / "train" / "good" / "xyz" / os.fsdecode(b"part-\xff.tiff")).is_file()
    assert "geh\\xe4use/train/good/part-\\xff," in (tmp_path / "out" / REPORT).read_text("utf-8")


def test_the_report_counts_every_scan(written):
    out, removals = written
    rows = list(csv.DictReader((out / REPORT).read_text().splitlines()))
    assert len(rows) == len(removals) == 5 + 1 + 7
    assert all(0 < int(row["part_pixels"]) < int(row["measured_pixels"]) for row in rows)


def test_it_goes_on_where_it_stopped(written, synth_data):
    out, _ = written
    kept, lost = (out / "gland" / "train" / "good" / "xyz" / f"{name}.tiff" for name in ("000", "002"))
    before, content = kept.stat().st_mtime_ns, lost.read_bytes()
    lost.unlink()
    preprocess_dataset(synth_data, out, [], STRUCTURED_LIGHT, 1, lambda *_: None)
    assert lost.read_bytes() == content and kept.stat().st_mtime_ns == before


def test_a_defect_whose_mask_marks_nothing_is_refused(synth_data, tmp_path):
    shutil.copytree(synth_data, tmp_path / "data")
    mask = tmp_path / "data" / "gland" / "test" / "crack" / "gt" / "000.png"
    Image.fromarray(np.zeros((200, 200), np.uint8)).save(mask)
    with pytest.raises(ScanError, match=r"crack/gt/000\.png: marks nothing"):
        preprocess_dataset(tmp_path / "data", tmp_path / "out", [], STRUCTURED_LIGHT, 1, lambda *_: None)


def test_it_never_writes_into_the_dataset_or_something_else(synth_data, tmp_path):
    for out in (synth_data, synth_data / "clean"):
        with pytest.raises(UsageError, match="never changed"):
            preprocess_dataset(synth_data, out, [], STRUCTURED_LIGHT, 1, lambda *_: None)
    (tmp_path / "thesis.tex").write_text("words")
    with pytest.raises(UsageError, match="something else"):
        preprocess_dataset(synth_data, tmp_path, [], STRUCTURED_LIGHT, 1, lambda *_: None)


def test_eyecandies_becomes_a_preprocessed_copy_in_the_mvtec_layout(eyecandies_data, tmp_path):
    removals = preprocess_dataset(eyecandies_data, tmp_path / "clean", [], EYECANDIES, 1, lambda *_: None)
    assert [removal.scan for removal in removals] == [
        *(f"Praline/train/good/00{number}" for number in range(3)),
        "Praline/validation/good/00",
        *(f"Praline/test/{part}" for part in ("bumps/02", "combined/04", "dents/03", "good/00", "good/01")),
    ]
    (source,), (copy,) = find_classes(eyecandies_data), find_classes(tmp_path / "clean")
    cleaned_scans = [sample.scan for split in ("train", "validation", "test") for sample in find_samples(copy, split)]
    evidence = [evidence_of(read_scan(scan).points, EYECANDIES) for scan in cleaned_scans]
    settled = settle(EYECANDIES, evidence, [scan.name for scan in cleaned_scans]).preprocessing
    assert settled.plane == "never"
    for split in ("train", "validation", "test"):
        for before, after in zip(find_samples(source, split), find_samples(copy, split), strict=True):
            assert before.name == after.name and before.defect == after.defect
            raw, cleaned = read_scan(before.scan).points, read_scan(after.scan).points
            kept = valid_mask(cleaned)
            assert kept.shape == (200, 200) and 0.02 < kept.mean() < 0.5
            np.testing.assert_array_equal(cleaned[20:180, 20:180][kept[20:180, 20:180]], raw[kept[20:180, 20:180]])
            np.testing.assert_array_equal(prepare(cleaned, settled).kept, kept)
            assert (after.mask is None) == (before.mask is None)
            assert not read_rgb(after.rgb)[~kept].any()


def copied_again(data, out):
    return preprocess_dataset(data, out, [], STRUCTURED_LIGHT, 1, lambda *_: None)


def test_what_has_changed_since_is_preprocessed_again_and_said(synth_data, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    shutil.copytree(synth_data / "gland" / "train", data / "gland" / "train")
    copied_again(data, out)
    folder = data / "gland" / "train" / "good"
    shutil.copy(folder / "xyz" / "001.tiff", folder / "xyz" / "000.tiff")
    (folder / "rgb" / "002.png").write_bytes((folder / "rgb" / "003.png").read_bytes())
    with pytest.warns(UserWarning, match=r"2 of 5 parts have changed .*gland/train/good/000"):
        removals = copied_again(data, out)
    assert [removal.was_renewed for removal in removals] == [True, False, True, False, False]
    copies = out / "gland" / "train" / "good" / "xyz"
    np.testing.assert_array_equal(read_scan(copies / "000.tiff").points, read_scan(copies / "001.tiff").points)
    assert removals[0].kept == removals[1].kept and removals[0].measured == removals[1].measured
    assert not any(removal.was_renewed for removal in copied_again(data, out))


def test_a_folder_with_parts_of_another_dataset_is_refused(synth_data, tmp_path):
    shutil.copytree(synth_data / "gland" / "train", tmp_path / "data" / "gland" / "train")
    copied_again(tmp_path / "data", tmp_path / "out")
    (tmp_path / "data" / "gland").rename(tmp_path / "data" / "lid")
    with pytest.raises(UsageError, match=r"holds 5 parts that are not of this dataset, such as gland/train/good"):
        copied_again(tmp_path / "data", tmp_path / "out")


def test_linked_classes_keep_their_own_names(synth_data, tmp_path):
    for name in ("gland", "lid"):
        shutil.copytree(synth_data / "gland" / "train", tmp_path / name / "batch1" / "train")
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / name).symlink_to(tmp_path / name / "batch1", target_is_directory=True)
    removals = copied_again(tmp_path / "data", tmp_path / "out")
    assert len(removals) == len({removal.scan for removal in removals}) == 10
    assert len(list((tmp_path / "out").glob("*/train/good/xyz/*.tiff"))) == 10
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == {"gland", "lid"}
