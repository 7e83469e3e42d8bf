"""Everything that is missing is said at once, before any work, with where to get it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from cmdiad.calibration.evaluation.paper import paper_classes
from cmdiad.reproduce.needed_files import (
    PART_COUNTS,
    ROUTES,
    UNPUBLISHED,
    needed_classes,
    needed_extractors,
    needed_routes,
    needs_table,
)
from cmdiad.reproduce.paper_tables import PAPER_PAIR, ExtractorPair
from cmdiad.runtime.errors import UsageError


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv("CMDIAD_WEIGHTS", str(folder))
    return folder


def parts(root: Path, name: str, train: int, good: int, bad: int) -> None:
    """Files of a class that nobody reads."""
    for split, defect, count in (("train", "good", train), ("test", "good", good), ("test", "hole", bad)):
        folder = root / name / split / defect / "xyz"
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"{number:03}.tiff").touch()


def test_the_counts_are_those_of_the_ten_classes_and_add_up_to_the_datasets() -> None:
    assert list(PART_COUNTS) == paper_classes()
    assert [sum(column) for column in zip(*PART_COUNTS.values(), strict=True)] == [2656, 249, 948]


def test_with_nothing_here_everything_is_missing_with_its_source(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    needs = [*needed_classes(tmp_path / "data", []), *needed_extractors(PAPER_PAIR, None, None), *needed_routes([], [])]
    missing = [need.name for need in needs if need.is_lacking]
    assert missing == [*paper_classes(), "point-mae", "vit_base_patch8_224.dino", *ROUTES[:4]]
    assert [need.name for need in needs if need.state == "not published"] == list(UNPUBLISHED)
    table = needs_table(needs)
    assert len(table.rows) == len(needs)
    by_name = {row[0]: row for row in table.rows}
    assert "dl.fbaipublicfiles.com/dino" in by_name["vit_base_patch8_224.dino"][-1]
    assert by_name["f2f-pc"][3] == str(weights / "MTFI_FtoF_PCs.pth") and "CMDIAD" in by_name["f2f-pc"][-1]
    assert by_name["f2f-pc"][-2] == "not known: its authors publish none"
    assert "mvtec.com" in by_name["bagel"][-1] and "244 normal, 22 good and 88 defective" in by_name["bagel"][4]
    assert "cmdiad train DATA --route i2f --main pc" in by_name["i2f-pc"][4]


def test_a_class_with_other_counts_differs_and_one_without_tests_is_missing(tmp_path: Path) -> None:
    parts(tmp_path, "bagel", 3, 1, 2)
    parts(tmp_path, "tire", *PART_COUNTS["tire"])
    parts(tmp_path, "foam", 3, 0, 0)
    needed = needed_classes(tmp_path, ["bagel", "tire", "foam", "rope", "bagel"])
    assert [need.name for need in needed] == ["bagel", "tire", "foam", "rope"]
    needs = {need.name: need for need in needed}
    states = {name: need.state for name, need in needs.items()}
    assert states == {"bagel": "differs", "tire": "here", "foam": "missing", "rope": "missing"}
    assert needs["bagel"].remark.startswith("3 normal, 1 good and 2 defective test parts; the paper's dataset has 244")


def test_a_file_that_is_here_is_told_with_its_digest(weights: Path, tmp_path: Path) -> None:
    (weights / "pretrain.pth").write_bytes(b"points")
    given = tmp_path / "mine.pth"
    given.write_bytes(b"route")
    point, image = needed_extractors(PAPER_PAIR, None, "random:0")
    assert (point.state, point.digest) == (
        "here",
        hashlib.sha256(b"points").hexdigest(),
    ) and point.digest in point.remark
    assert image.state == "here" and "not the published" in image.remark
    routes = {need.name: need for need in needed_routes([("pc", given, "f2f")], ["i2f-rgb"])}
    assert routes["f2f-pc"].place == given and routes["f2f-pc"].digest == hashlib.sha256(b"route").hexdigest()
    assert routes["i2f-rgb"].state == "here" and routes["f2f-rgb"].state == "missing"


def test_the_embedded_pair_needs_no_file(weights: Path) -> None:
    assert [need.state for need in needed_extractors(ExtractorPair("embedded", "embedded"), None, None)] == ["here"] * 2


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"nowhere: there is no such folder: give the root of MVTec 3D-AD, from https://"
    ):
        needed_classes(tmp_path / "nowhere", [])
