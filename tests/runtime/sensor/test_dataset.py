"""The layout of MVTec 3D-AD is found as it lies, and what is missing is named."""

import pytest
from cmdiad.runtime.errors import ScanError, UsageError
from cmdiad.runtime.sensor.dataset import Place, data_digest, find_classes, find_samples, list_samples, place_of
from cmdiad.runtime.sensor.listing import SkippedFiles


@pytest.fixture
def root(tmp_path):
    for kind in ("train/good", "test/good", "test/hole"):
        for folder, suffix in (("xyz", "tiff"), ("rgb", "png"), ("gt", "png")):
            place = tmp_path / "bagel" / kind / folder
            place.mkdir(parents=True)
            for number in ("000", "001"):
                (place / f"{number}.{suffix}").write_bytes(f"{kind}{number}".encode())
    return tmp_path


def test_classes_and_samples(root):
    (bagel,) = find_classes(root)
    assert find_classes(bagel) == [bagel]
    samples = find_samples(bagel, "test")
    assert [(sample.defect, sample.scan.stem) for sample in samples] == [
        ("good", "000"), ("good", "001"), ("hole", "000"), ("hole", "001"),
    ]  # fmt: skip
    assert [sample.is_defect for sample in samples] == [False, False, True, True]
    assert samples[0].mask is None and samples[2].mask.parent.name == "gt"
    assert all(sample.rgb.is_file() for sample in samples)


def test_a_class_that_is_wanted_twice_comes_once_and_in_the_order_of_its_first_mention(root):
    (root / "apple" / "train" / "good" / "xyz").mkdir(parents=True)
    found = find_classes(root, ["bagel", "apple", "bagel"])
    assert [folder.name for folder in found] == ["bagel", "apple"]


@pytest.mark.parametrize("name", ["Good", "GOOD", "ok"])
def test_a_folder_of_normal_parts_under_another_name_is_named(root, name):
    (root / "bagel" / "train" / "good").rename(root / "bagel" / "train" / name)
    for place in (root, root / "bagel"):
        with pytest.raises(UsageError, match=rf"no class in the layout .*: rename .*bagel/train/{name} to good$"):
            find_classes(place)
    (root / "tire" / "train" / "good" / "xyz").mkdir(parents=True)
    with pytest.raises(UsageError, match=rf"no class bagel; found tire: rename .*bagel/train/{name} to good$"):
        find_classes(root, ["bagel"])


def test_what_is_missing_is_named(root):
    with pytest.raises(UsageError, match="no class carrot; found bagel"):
        find_classes(root, ["carrot"])
    with pytest.raises(UsageError, match="layout of MVTec 3D-AD"):
        find_classes(root / "bagel" / "train")
    with pytest.raises(UsageError, match="validation"):
        find_samples(root / "bagel", "validation")


def test_the_digest_is_of_contents_in_order(root, tmp_path):
    files = sorted(root.rglob("*.tiff"))
    with pytest.raises(ScanError, match="no such file"):
        data_digest([root / "gone.tiff"])
    copy = tmp_path / "copy.tiff"
    copy.write_bytes(files[0].read_bytes())
    assert data_digest(files) == data_digest([copy, *files[1:]])
    assert data_digest(files) != data_digest(files[::-1])


@pytest.mark.parametrize("scan", ["000.TIFF", "000.tif", "000.ply", "000.pcd", "000.npy", "000.npz"])
@pytest.mark.parametrize("image", ["000.PNG", "000.jpg", "000.jpeg", "000.bmp", "000.tif"])
def test_every_suffix_that_is_read_is_found(root, scan, image):
    folder = root / "bagel" / "test" / "hole"
    (folder / "xyz" / "000.tiff").rename(folder / "xyz" / scan)
    (folder / "rgb" / "000.png").rename(folder / "rgb" / image)
    (folder / "gt" / "000.png").rename(folder / "gt" / image)
    sample = find_samples(root / "bagel", "test", "hole")[0]
    assert (sample.scan.name, sample.rgb.name, sample.mask.name) == (scan, image, image)
    assert len(find_samples(root / "bagel", "test")) == 4


def test_what_macos_leaves_beside_every_file_stops_nothing(root):
    before = find_samples(root / "bagel", "test")
    for file in [file for file in root.rglob("*.*") if file.is_file()]:
        file.with_name(f"._{file.name}").write_bytes(b"")
    for folder in (root, root / "bagel", root / "bagel" / "test", root / "bagel" / "test" / "hole" / "xyz"):
        (folder / ".DS_Store").write_bytes(b"")
    (root / ".Trashes" / "train" / "good" / "xyz").mkdir(parents=True)
    assert find_samples(root / "bagel", "test") == before
    assert find_classes(root) == [root / "bagel"]


def test_two_scans_of_one_part_are_an_error_that_names_both(root):
    (root / "bagel" / "test" / "hole" / "xyz" / "000.ply").write_bytes(b"")
    with pytest.raises(ScanError, match=r"xyz/000\.ply: has the same name as 000\.tiff"):
        find_samples(root / "bagel", "test")


def test_files_that_are_left_out_are_counted(root):
    (root / "bagel" / "test" / "hole" / "xyz" / "002.stl").write_bytes(b"")
    with pytest.warns(SkippedFiles, match=r"1 of 3 files are left out \(002.stl\)"):
        assert len(find_samples(root / "bagel", "test")) == 4


def test_parts_come_in_the_order_of_their_numbers(root):
    for number in (10, 9):
        (root / "bagel" / "train" / "good" / "xyz" / f"{number}.tiff").write_bytes(b"")
    stems = [sample.scan.stem for sample in find_samples(root / "bagel", "train", "good")]
    assert stems == ["000", "001", "9", "10"]


def test_a_split_that_is_not_there_has_no_samples(root):
    assert list_samples(root / "bagel", "validation") == []
    (root / "bagel" / "validation" / "good" / "xyz").mkdir(parents=True)
    assert list_samples(root / "bagel", "validation") == []


def test_a_file_knows_its_place_in_a_dataset(root, eyecandies_data, monkeypatch):
    bagel = root / "bagel"
    assert place_of(bagel / "test" / "hole" / "xyz" / "000.tiff") == Place(bagel, "test", "hole")
    assert place_of(bagel / "train" / "good" / "rgb" / "000.png") == Place(bagel, "train", "good")
    monkeypatch.chdir(bagel / "test" / "hole" / "xyz")
    assert place_of(type(root)("000.tiff")) == Place(bagel, "test", "hole")
    praline = eyecandies_data / "Praline"
    data = praline / "test_public" / "data"
    assert (
        place_of(data / "02_depth.png") == place_of(data / "02_image_4.png") == Place(praline, "test_public", "bumps")
    )
    assert place_of(praline / "train" / "data" / "000_depth.png") == Place(praline, "train", "good")


@pytest.mark.parametrize("path", ["/0.tiff", "/xyz/0.tiff", "/a/xyz/0.tiff", "/test/monday/xyz/0.tiff", "0.tiff"])
def test_a_file_elsewhere_has_no_place_even_if_its_folders_are_called_alike(path, tmp_path):
    assert place_of(tmp_path / path[1:]) is None
    assert place_of(tmp_path.__class__(path)) is None


def test_a_root_that_is_not_there_or_no_folder_is_told_as_that(tmp_path):
    with pytest.raises(UsageError, match="nowhere: there is no such folder: check the path"):
        find_classes(tmp_path / "nowhere")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="file: is not a folder: give the folder of a dataset"):
        find_classes(tmp_path / "file")
