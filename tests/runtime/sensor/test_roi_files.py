"""The region of interest as users give it: numbers, a table, or a mask's file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from cmdiad.runtime.bundle.region_of_interest import RegionOfInterest
from cmdiad.runtime.errors import UsageError
from cmdiad.runtime.sensor.sensor_file import open_sensor, settings_of
from cmdiad.runtime.sensor.sensor_writing import sensor_toml
from PIL import Image

RECTANGLE = RegionOfInterest(row=40, column=60, height=200, width=300)


def mask_of(folder: Path, name: str = "mask.png") -> np.ndarray:
    mask = np.zeros((30, 40), np.uint8)
    mask[5:20, 8:30] = 255
    mask[7, 9] = 0
    if name.endswith("png"):
        Image.fromarray(mask).save(folder / name)
    else:
        tifffile.imwrite(folder / name, mask)
    return mask > 0


def by_file(folder: Path, value: str) -> RegionOfInterest | None:
    (folder / "cell.toml").write_text(f"[preprocessing]\nroi = {value}\n")
    return open_sensor(str(folder / "cell.toml")).preprocessing.roi


@pytest.mark.parametrize(
    "value", ["[40, 60, 200, 300]", '"40,60,200,300"', "{ row = 40, column = 60, height = 200, width = 300 }"]
)
def test_a_rectangle_in_a_sensor_file(tmp_path: Path, value: str) -> None:
    assert by_file(tmp_path, value) == RECTANGLE


@pytest.mark.parametrize("text", ["40,60,200,300", "{row=40,column=60,height=200,width=300}"])
def test_a_rectangle_on_the_command_line(text: str) -> None:
    text = text.replace("=", " = ") if text.startswith("{") else text
    assert open_sensor("structured-light", [f"preprocessing.roi={text}"]).preprocessing.roi == RECTANGLE


@pytest.mark.parametrize("name", ["mask.png", "mask.tiff"])
def test_a_mask_is_found_beside_the_sensor_file(tmp_path: Path, name: str) -> None:
    mask = mask_of(tmp_path, name)
    region = by_file(tmp_path, f'"{name}"')
    assert region is not None and region.scan == (30, 40)
    np.testing.assert_array_equal(region.mask((30, 40)), mask)


def test_what_a_bundle_knows_of_a_mask_is_written_as_a_file_that_reads_back(tmp_path: Path) -> None:
    mask_of(tmp_path)
    described = open_sensor("structured-light", [f"preprocessing.roi={tmp_path / 'mask.png'}"])
    (tmp_path / "again.toml").write_text(sensor_toml(described))
    assert open_sensor(str(tmp_path / "again.toml")).preprocessing == described.preprocessing
    assert settings_of(described)["preprocessing"]["roi"]["scan"] == (30, 40)


def test_none_takes_the_region_away(tmp_path: Path) -> None:
    (tmp_path / "cell.toml").write_text("[preprocessing]\nroi = [40, 60, 200, 300]\n")
    assert open_sensor(str(tmp_path / "cell.toml"), ["preprocessing.roi=none"]).preprocessing.roi is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("1,2,3", r"give ROW,COLUMN,HEIGHT,WIDTH in pixels"),
        ("1,2,3,0", r"\(row, column, height, width\) has height 3|has width 0"),
        ("-1,2,3,4", r"has row -1, must be from 0"),
        ("gone.png", r"roi: gone\.png: there is no such file"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(value: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        open_sensor("structured-light", [f"preprocessing.roi={value}"])


def test_an_empty_mask_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(UsageError, match=r"mask\.png: marks no pixel"):
        by_file(tmp_path, '"mask.png"')
