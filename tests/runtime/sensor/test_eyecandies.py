"""Eyecandies is read as it unpacks: found, labeled, and back-projected to where the camera saw it."""

import io

import numpy as np
import pytest
from cmdiad.runtime.bundle.parameters import EYECANDIES
from cmdiad.runtime.errors import ScanError, UsageError
from cmdiad.runtime.preparation.prepare import prepare
from cmdiad.runtime.sensor import eyecandies
from cmdiad.runtime.sensor.dataset import find_classes, find_samples, has_split
from cmdiad.runtime.sensor.image import read_mask
from cmdiad.runtime.sensor.part import registered_image
from cmdiad.runtime.sensor.scan import read_scan
from PIL import Image

DEPTH_STEP_M = (6.0 - 2.0) / 65535 * 0.1


def test_points_project_back_to_their_pixels_and_depths(eyecandies_data):
    """The published projection, K @ pose, takes every point to the pixel and the depth it was read from."""
    depth = eyecandies_data / "Praline" / "train" / "data" / "000_depth.png"
    points = read_scan(depth).points.astype(np.float64)
    x, minus_z, y = np.moveaxis(points / [0.1, -0.1, 0.1], -1, 0)
    world = np.stack([x, y, minus_z, np.ones_like(x)])
    size = len(points)
    focal = 711.11 * size / 512
    intrinsics = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    pose = np.loadtxt(depth.with_name("000_pose.txt"))
    u, v, d = np.tensordot(intrinsics @ pose[:3], world, axes=1)
    rows, columns = np.mgrid[:size, :size]
    np.testing.assert_allclose(u / d, columns, atol=1e-3)
    np.testing.assert_allclose(v / d, rows, atol=1e-3)
    raw = np.asarray(Image.open(depth), np.float64)
    np.testing.assert_allclose(d, raw / 65535 * 4.0 + 2.0, atol=1e-5)


def test_the_belt_is_flat_and_only_the_sweet_is_left(eyecandies_data):
    depth = eyecandies_data / "Praline" / "train" / "data" / "000_depth.png"
    points = read_scan(depth).points
    belt = points[:8].reshape(-1, 3)
    assert np.abs(belt[:, 1]).max() < 3 * DEPTH_STEP_M
    prepared = prepare(points, EYECANDIES)
    expected = points[..., 1] < -0.002
    assert 0.02 < expected.mean() < 0.5
    assert (prepared.kept != expected).mean() < 0.002


def test_a_unit_may_be_given(eyecandies_data):
    depth = eyecandies_data / "Praline" / "train" / "data" / "000_depth.png"
    np.testing.assert_allclose(read_scan(depth, 1.0).points, read_scan(depth).points * 10, rtol=1e-6, atol=1e-9)


def test_classes_splits_and_defects_are_found(eyecandies_data):
    (folder,) = find_classes(eyecandies_data)
    assert find_classes(folder) == [folder] and folder.name == "Praline"
    assert all(has_split(folder, split) for split in ("train", "validation", "test"))
    assert [each.name for each in find_samples(folder, "train", "good")] == ["000", "001", "002"]
    assert [each.name for each in find_samples(folder, "validation")] == ["00"]
    test = find_samples(folder, "test")
    assert [(each.defect, each.name) for each in test] == [
        ("bumps", "02"), ("combined", "04"), ("dents", "03"), ("good", "00"), ("good", "01"),
    ]  # fmt: skip
    assert all(each.rgb.name == f"{each.name}_image_4.png" for each in test)
    assert all((each.mask is not None) == each.is_defect for each in test)
    assert read_mask(test[0].mask).any()
    assert registered_image(test[0].scan) == test[0].rgb
    with pytest.raises(UsageError, match="no scans"):
        find_samples(folder, "test", "colors")


def test_a_part_whose_kind_of_defect_is_not_told_is_defective(eyecandies_data):
    (folder,) = find_classes(eyecandies_data)
    kinds = folder / "test_public" / "data" / "03_dents_mask.png"
    content = kinds.read_bytes()
    kinds.unlink()
    try:
        assert sorted(each.defect for each in find_samples(folder, "test"))[2] == "defect"
    finally:
        kinds.write_bytes(content)


def copied(source, folder, **changes):
    """One part's files in a new folder, some replaced (None: left out)."""
    for item in ("depth.png", "info_depth.yaml", "pose.txt"):
        content = changes.get(item.partition(".")[0], source.with_name(f"000_{item}").read_bytes())
        if content is not None:
            (folder / f"000_{item}").write_bytes(content)
    return folder / "000_depth.png"


@pytest.mark.parametrize(
    ("item", "content", "words"),
    [
        ("info_depth", b"normalization: {min: 2.0}", "min and max"),
        ("info_depth", b"normalization:\n  max: .inf\n  min: 1\n", "min and max"),
        ("info_depth", b"normalization:\n  max: 1\n  min: 2\n", "min and max"),
        ("info_depth", b"min: 1\nmax: 2\n" + b" " * 70000, "more than"),
        ("pose", b"1 0 0 0\n0 1 0 0\n", "4 x 4"),
        ("pose", b"one two", "4 x 4"),
        ("pose", b"0 " * 16, "inverted"),
        ("pose", b"nan " * 16, "inverted"),
        ("pose", b"1e300 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1", "inverted"),
        ("info_depth", b"min: -1e308\nmax: 1e308\n", "min and max"),
        ("info_depth", b"min: 1e300\nmax: 1e400\n", "min and max"),
        ("pose", None, "no such file"),
        ("depth", "bomb", "compressed bytes"),
    ],
)
def test_what_is_wrong_is_named(eyecandies_data, tmp_path, item, content, words):
    source = eyecandies_data / "Praline" / "train" / "data" / "000_depth.png"
    if content == "bomb":
        stream = io.BytesIO()
        Image.fromarray(np.zeros((4096, 4096), np.uint16)).save(stream, "PNG", compress_level=1)
        content = stream.getvalue()
    with pytest.raises(ScanError, match=words) as refusal:
        read_scan(copied(source, tmp_path, **{item: content}))
    assert f"000_{item}" in str(refusal.value)


def test_flow_style_bounds_are_read_too(eyecandies_data, tmp_path):
    source = eyecandies_data / "Praline" / "train" / "data" / "000_depth.png"
    flow = copied(source, tmp_path, info_depth=b"normalization: {max: 6.0e+0, min: 2}\n")
    np.testing.assert_array_equal(read_scan(flow).points, read_scan(source).points)


def test_a_damaged_depth_map_is_refused(eyecandies_data, tmp_path):
    source = eyecandies_data / "Praline" / "train" / "data" / "000_depth.png"
    whole = source.read_bytes()
    for length in (1, 20, 40, len(whole) // 2):
        with pytest.raises(ScanError, match="000_depth"):
            read_scan(copied(source, tmp_path, depth=whole[:length]))
    Image.new("RGB", (8, 8)).save(tmp_path / "color.png")
    with pytest.raises(ScanError, match="mode RGB"):
        read_scan(copied(source, tmp_path, depth=(tmp_path / "color.png").read_bytes()))


def test_a_png_without_bounds_beside_it_is_no_depth_map(eyecandies_data, tmp_path):
    source = eyecandies_data / "Praline" / "train" / "data" / "000_depth.png"
    depth = copied(source, tmp_path, info_depth=None)
    assert not eyecandies.is_depth_map(depth)
    with pytest.raises(ScanError, match="one number per pixel"):
        read_scan(depth)
