"""One door for a part: which files a route looks at, and how files, bytes and arrays become the same part."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from cmdiad.runtime.bundle.parameters import Preprocessing
from cmdiad.runtime.bundle.scan_geometry import Intrinsics, ScanGeometry
from cmdiad.runtime.errors import ScanError, UsageError
from cmdiad.runtime.patches.routes import measured_by
from cmdiad.runtime.sensor.dataset import Sample, find_samples
from cmdiad.runtime.sensor.part import (
    BOTH,
    IMAGE,
    POINTS,
    Part,
    find_inputs,
    find_normal_parts,
    input_file,
    part_from_arrays,
    part_from_bytes,
    read_part,
    read_sample,
    registered_image,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

SHAPE = (4, 5, 3)
CLOUD = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
PIXELS = np.random.default_rng(1).integers(0, 256, SHAPE, np.uint8)


def write_part(defect_folder: Path, name: str, scan: str = ".tiff", image: str | None = ".png") -> Path:
    path = defect_folder / "xyz" / f"{name}{scan}"
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, CLOUD, photometric="rgb")
    if image is not None:
        (defect_folder / "rgb").mkdir(exist_ok=True)
        Image.fromarray(PIXELS).save(defect_folder / "rgb" / f"{name}{image}")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for part_class in ("bagel", "carrot"):
        for folder, count in (("train/good", 3), ("validation/good", 1), ("test/good", 2), ("test/hole", 2)):
            for number in range(count):
                write_part(tmp_path / "data" / part_class / folder, f"{number:03d}")
    return tmp_path / "data"


def shown(files: list[Path], root: Path) -> list[str]:
    return [str(file.relative_to(root)) for file in files]


def encoded(save: Any) -> bytes:
    stream = io.BytesIO()
    save(stream)
    return stream.getvalue()


def test_a_route_measures_what_its_class_of_routes_says() -> None:
    assert measured_by("dual", "pc") == measured_by("dual", "rgb") == {"pc", "rgb"}
    assert measured_by("f2f", "pc") == {"pc"} and measured_by("single", "rgb") == {"rgb"}


@pytest.mark.parametrize(
    ("measured", "folder", "suffix"), [(POINTS, "xyz", ".tiff"), (IMAGE, "rgb", ".png"), (BOTH, "xyz", ".tiff")]
)
def test_a_route_is_given_images_where_an_image_is_all_it_sees(
    data: Path, measured: frozenset[Any], folder: str, suffix: str
) -> None:
    expected = [f"bagel/test/{kind}/{folder}/00{n}{suffix}" for kind in ("good", "hole") for n in (0, 1)]
    assert shown(find_inputs([data / "bagel" / "test"], measured).require(), data) == expected
    sample = find_samples(data / "bagel", "test")[0]
    assert input_file(sample, measured) == data / expected[0]


def test_a_dataset_root_is_every_part_of_it_when_inspecting(data: Path) -> None:
    assert len(find_inputs([data], POINTS).require()) == 2 * 8


@pytest.mark.parametrize("measured", [POINTS, IMAGE])
def test_a_class_stands_for_its_normal_training_parts_when_calibrating(data: Path, measured: frozenset[Any]) -> None:
    folder = "xyz" if measured == POINTS else "rgb"
    found = find_normal_parts([data / "bagel"], measured)
    assert {str(file.parent.relative_to(data)) for file in found} == {f"bagel/train/good/{folder}"} and len(found) == 3
    assert find_normal_parts([data / "bagel" / "train" / "good"], measured) == found


def test_a_dataset_of_one_class_stands_for_that_class(data: Path) -> None:
    shutil.rmtree(data / "carrot")
    assert find_normal_parts([data], POINTS) == find_normal_parts([data / "bagel"], POINTS)


def test_several_classes_are_refused_by_name(data: Path) -> None:
    with pytest.raises(UsageError, match=r"several classes \(bagel, carrot\): .* such as .*bagel/train/good"):
        find_normal_parts([data], POINTS)


@pytest.mark.parametrize(
    "asked",
    [
        "bagel/test",
        "bagel/test/hole",
        "bagel/test/hole/xyz",
        "bagel/test/hole/xyz/000.tiff",
        "bagel/*/*",
        "bagel/**/*.tiff",
        "**/xyz",
    ],
)
def test_what_is_labeled_defective_is_never_learned_from(data: Path, asked: str) -> None:
    with pytest.raises(UsageError, match=r"is labeled hole, but only normal parts .* give .*bagel/train/good"):
        find_normal_parts([str(data / asked)], POINTS)
    with pytest.raises(UsageError, match="is labeled hole"):
        find_normal_parts([data / "bagel" / "train" / "good", str(data / asked)], POINTS)


def test_a_folder_above_a_dataset_does_not_mix_its_splits(data: Path) -> None:
    for part_class in ("bagel", "carrot"):
        shutil.rmtree(data / part_class / "test" / "hole")
    with pytest.raises(UsageError, match="several splits"):
        find_normal_parts([data.parent], POINTS)


def test_splits_that_are_named_one_by_one_are_taken(data: Path) -> None:
    asked = [data / "bagel" / split / "good" for split in ("train", "validation")]
    assert len(find_normal_parts(asked, POINTS)) == 4


def test_folders_that_are_no_dataset_are_taken_whole(tmp_path: Path) -> None:
    for day in ("test/monday", "test/tuesday"):
        write_part(tmp_path / day, "1")
    assert len(find_normal_parts([tmp_path], POINTS)) == 2


def test_a_missing_file_is_an_error_of_that_file_and_not_of_the_count(data: Path) -> None:
    with pytest.raises(ScanError, match=r"nowhere: there is no such file"):
        find_normal_parts([data / "nowhere"], POINTS)
    with pytest.raises(ScanError, match="no file matches"):
        find_normal_parts([data / "bagel", str(data / "*.nothing")], POINTS)
    with pytest.raises(ScanError, match="no scan was named"):
        find_normal_parts([], POINTS)


def test_eyecandies_calibrates_on_its_training_split(eyecandies_data: Path) -> None:
    folder = eyecandies_data / "Praline" / "train" / "data"
    for asked in (eyecandies_data, eyecandies_data / "Praline", folder):
        assert find_normal_parts([asked], POINTS) == [folder / f"00{n}_depth.png" for n in range(3)]
        assert find_normal_parts([asked], IMAGE) == [folder / f"00{n}_image_4.png" for n in range(3)]
    with pytest.raises(UsageError, match=r"labeled bumps, .* give .*Praline/train/data"):
        find_normal_parts([eyecandies_data / "Praline" / "test_public"], POINTS)


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"])
def test_the_registered_image_lies_in_rgb_whatever_its_suffix(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "rgb").mkdir()
    image = tmp_path / "rgb" / f"003{suffix}"
    image.write_bytes(b"")
    assert registered_image(tmp_path / "xyz" / "003.TIFF") == image


def test_the_registered_image_lies_beside_a_scan_that_is_in_no_xyz(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "003.tiff").write_bytes(b"")
    (tmp_path / "003.JPG").write_bytes(b"")
    assert registered_image(tmp_path / "003.tiff") == tmp_path / "003.JPG"
    write_part(tmp_path, "7")
    monkeypatch.chdir(tmp_path / "xyz")
    assert registered_image(Path("7.tiff")) == tmp_path / "rgb" / "7.png"


def test_a_missing_registered_image_is_the_same_message_everywhere(tmp_path: Path) -> None:
    scan = write_part(tmp_path / "good", "000", image=None)
    said = rf"good/xyz/000.tiff: there is no registered image for it in {tmp_path}/good/rgb: .* 000.png, 000.jpg"
    sample = Sample(scan, None, None, "good")
    for call in (
        lambda: registered_image(scan),
        lambda: read_part(scan, BOTH, Preprocessing()),
        lambda: read_sample(sample, BOTH, Preprocessing()),
        lambda: read_sample(sample, IMAGE, Preprocessing()),
        lambda: input_file(sample, IMAGE),
    ):
        with pytest.raises(ScanError, match=said):
            call()


def test_two_images_that_may_both_be_the_registered_one_are_refused(tmp_path: Path) -> None:
    for name in ("003.tiff", "003.jpg", "003.png"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ScanError, match=r"003.jpg and .*003.png may both be its registered image"):
        registered_image(tmp_path / "003.tiff")


def test_a_depth_map_whose_image_is_missing_says_which(eyecandies_data: Path, tmp_path: Path) -> None:
    for item in ("depth.png", "info_depth.yaml"):
        (tmp_path / f"000_{item}").write_bytes(b"")
    with pytest.raises(ScanError, match=r"000_depth.png: its registered image .*000_image_4.png is missing"):
        registered_image(tmp_path / "000_depth.png")


def test_files_bytes_and_arrays_become_the_same_part(tmp_path: Path) -> None:
    scan = write_part(tmp_path / "good", "000")
    image = tmp_path / "good" / "rgb" / "000.png"
    sample = Sample(scan, image, None, "good")
    for measured in (POINTS, IMAGE, BOTH):
        main = image if measured == IMAGE else scan
        parts = [
            read_part(main, measured, Preprocessing()),
            read_sample(sample, measured, Preprocessing()),
            part_from_bytes(main.read_bytes(), measured, Preprocessing(), image.read_bytes()),
            part_from_arrays(CLOUD if "pc" in measured else None, PIXELS if "rgb" in measured else None),
        ]
        for part in parts:
            assert (part.points is None, part.rgb is None) == ("pc" not in measured, "rgb" not in measured)
            assert part.points is None or np.array_equal(part.points, CLOUD)
            assert part.rgb is None or np.array_equal(part.rgb, PIXELS)


def npz(**arrays: np.ndarray) -> bytes:
    return encoded(lambda stream: np.savez(stream, **arrays))


def test_the_image_in_a_scan_s_file_is_the_registered_one(tmp_path: Path) -> None:
    scan = tmp_path / "000.npz"
    scan.write_bytes(npz(points=CLOUD, rgb=PIXELS))
    for part in (
        read_part(scan, BOTH, Preprocessing()),
        read_sample(Sample(scan, None, None, "good"), BOTH, Preprocessing()),
        part_from_bytes(scan.read_bytes(), BOTH, Preprocessing()),
    ):
        assert part.rgb is not None and part.points is not None
        np.testing.assert_array_equal(part.rgb, PIXELS)
        np.testing.assert_array_equal(part.points, CLOUD)
    assert read_part(scan, POINTS, Preprocessing()).rgb is None


def test_an_image_in_the_scan_s_file_and_one_beside_it_are_refused(tmp_path: Path) -> None:
    scan = tmp_path / "000.npz"
    scan.write_bytes(npz(points=CLOUD, rgb=PIXELS))
    Image.fromarray(PIXELS).save(tmp_path / "000.png")
    with pytest.raises(ScanError, match=r"000.npz: holds its registered image, and .*000.png may be one too"):
        read_part(scan, BOTH, Preprocessing())
    with pytest.raises(ScanError, match="two registered images"):
        part_from_bytes(scan.read_bytes(), BOTH, Preprocessing(), (tmp_path / "000.png").read_bytes())


def test_a_depth_image_is_not_its_own_registered_image(tmp_path: Path) -> None:
    depth = tmp_path / "000.png"
    Image.fromarray(np.arange(500, 520, dtype=np.uint16).reshape(SHAPE[:2])).save(depth)
    camera = ScanGeometry(intrinsics=Intrinsics(fx=5, fy=5, cx=2, cy=2))
    sensor = Preprocessing(metres_per_unit=0.001, geometry=camera)
    with pytest.raises(ScanError, match="there is no registered image"):
        read_part(depth, BOTH, sensor)
    Image.fromarray(PIXELS).save(tmp_path / "000.jpg")
    part = read_part(depth, BOTH, sensor)
    assert part.points is not None and part.rgb is not None
    np.testing.assert_allclose(part.points[..., 2].reshape(-1), np.arange(0.5, 0.5195, 0.001), rtol=1e-6)


def test_files_and_arrays_follow_the_same_geometry(tmp_path: Path) -> None:
    geometry = ScanGeometry(grid=(SHAPE[1], SHAPE[0]), axes="x,-z,y", missing=(-9999.0,))
    stored = np.where(np.arange(20)[:, None] == 7, -9999.0, CLOUD.reshape(-1, 3).astype(np.float64))
    data = encoded(lambda stream: np.save(stream, stored))
    parts = [
        part_from_bytes(data, POINTS, Preprocessing(geometry=geometry)),
        part_from_arrays(stored, geometry=geometry),
    ]
    for part in parts:
        assert part.points is not None
        assert not part.points[1, 2].any()
        np.testing.assert_array_equal(part.points[3], CLOUD[3][:, [0, 2, 1]] * np.float32([1, -1, 1]))


def test_bytes_without_the_image_a_route_needs_are_refused() -> None:
    data = encoded(lambda stream: tifffile.imwrite(stream, CLOUD, photometric="rgb"))
    with pytest.raises(ScanError, match="no registered image"):
        part_from_bytes(data, BOTH, Preprocessing())
    with pytest.raises(ScanError):
        part_from_bytes(b"nonsense", POINTS, Preprocessing())
    with pytest.raises(ScanError):
        part_from_bytes(b"nonsense", IMAGE, Preprocessing())


NUMBERS = st.one_of(
    hnp.arrays(np.float64, SHAPE, elements=st.floats(-10, 10) | st.sampled_from([np.nan, np.inf, 0.0])),
    hnp.arrays(np.float32, SHAPE, elements=st.floats(-10, 10, width=32)),
    hnp.arrays(np.float16, SHAPE, elements=st.floats(-10, 10, width=16)),
    hnp.arrays(np.dtype(">f8"), SHAPE, elements=st.floats(-10, 10)),
    hnp.arrays(np.int16, SHAPE, elements=st.integers(-9999, 9999)),
)


@settings(deadline=None)
@given(NUMBERS, st.sampled_from([None, 0.001]))
def test_arrays_are_cast_as_a_file_of_the_same_numbers_is(array: np.ndarray[Any, Any], unit: float | None) -> None:
    data = encoded(lambda stream: np.save(stream, array))
    outcomes = []
    for make in (
        lambda: part_from_bytes(data, POINTS, Preprocessing(metres_per_unit=unit)),
        lambda: part_from_arrays(array, metres_per_unit=unit),
        lambda: part_from_arrays(np.asfortranarray(array), metres_per_unit=unit),
    ):
        try:
            points = make().points
        except ScanError as error:
            outcomes.append(str(error))
            continue
        assert points is not None and points.dtype == np.float32 and np.moveaxis(points, -1, 0).flags.c_contiguous
        assert np.isfinite(points).all()
        outcomes.append(points.tobytes())
    assert len(set(outcomes)) == 1


def test_an_array_is_not_changed_and_not_shared() -> None:
    points = CLOUD.copy()
    points[0, 0] = np.nan
    before = points.copy()
    part = part_from_arrays(points)
    assert part.points is not None
    np.testing.assert_array_equal(points, before)
    assert not np.shares_memory(part.points, points) and not part.points[0, 0].any()


@pytest.mark.parametrize(
    ("points", "rgb", "says"),
    [
        (None, None, "neither points nor an image"),
        (CLOUD[..., :2], None, "not H x W x 3"),
        (CLOUD.reshape(-1, 3), None, "unorganized"),
        (np.zeros(SHAPE), None, "no measured point"),
        (np.full(SHAPE, np.nan), None, "no measured point"),
        (np.ones(SHAPE, np.int32), None, "without a unit"),
        (np.ones(SHAPE, bool), None, "not numbers"),
        (np.full(SHAPE, "x"), None, "not numbers"),
        (np.full(SHAPE, 1j), None, "not numbers"),
        (None, PIXELS[..., 0], "4 x 5 uint8: give H x W x 3 uint8"),
        (None, PIXELS.astype(np.float32), "float32: give H x W x 3 uint8"),
        (CLOUD, PIXELS[:3], "must be registered"),
        (CLOUD, PIXELS.transpose(1, 0, 2), "must be registered"),
    ],
)
def test_arrays_that_are_no_part_are_refused_in_words(points: Any, rgb: Any, says: str) -> None:
    with pytest.raises(ScanError, match=says):
        part_from_arrays(points, rgb)


@pytest.mark.parametrize("unit", [0, -1.0, float("nan"), float("inf")])
def test_a_unit_that_is_no_length_is_refused(unit: float) -> None:
    with pytest.raises(UsageError, match="meters per unit"):
        part_from_arrays(CLOUD, metres_per_unit=unit)


def test_a_part_is_checked_when_it_is_made() -> None:
    with pytest.raises(ScanError, match="float64"):
        Part(CLOUD.astype(np.float64), None)  # type: ignore[arg-type]
    with pytest.raises(ScanError, match="must be registered"):
        Part(CLOUD, PIXELS[:3])


def test_an_image_of_another_size_names_the_scan(tmp_path: Path) -> None:
    scan = write_part(tmp_path / "good", "000")
    Image.fromarray(PIXELS[:3]).save(tmp_path / "good" / "rgb" / "000.png")
    with pytest.raises(ScanError, match=r"xyz/000.tiff: the image has \(3, 5\) pixels, the scan \(4, 5\)"):
        read_part(scan, BOTH, Preprocessing())
