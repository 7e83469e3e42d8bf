"""The MVTec 3D-AD layout is found as it lies, and what is missing is named."""

import pytest
from cmdiad.runtime.errors import UsageError
from cmdiad.runtime.sensor.dataset import data_digest, find_classes, find_samples


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


def test_what_is_missing_is_named(root):
    with pytest.raises(UsageError, match="no class carrot; here are bagel"):
        find_classes(root, ["carrot"])
    with pytest.raises(UsageError, match="MVTec 3D-AD layout"):
        find_classes(root / "nowhere")
    with pytest.raises(UsageError, match="validation"):
        find_samples(root / "bagel", "validation")


def test_the_digest_is_of_contents_in_order(root, tmp_path):
    files = sorted(root.rglob("*.tiff"))
    copy = tmp_path / "copy.tiff"
    copy.write_bytes(files[0].read_bytes())
    assert data_digest(files) == data_digest([copy, *files[1:]])
    assert data_digest(files) != data_digest(files[::-1])
