"""A part in memory is what a file of the same numbers would be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cmdiad.runtime.bundle.parameters import Preprocessing
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.sensor.in_memory import PartInMemory, read_source, source_digests
from cmdiad.runtime.sensor.part import BOTH, IMAGE, POINTS, Part

CLOUD = np.linspace(0.1, 0.9, 60, dtype=np.float32).reshape(4, 5, 3)
PIXELS = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)


def test_only_what_the_route_measures_is_looked_at() -> None:
    part = PartInMemory("7", CLOUD, PIXELS)
    for measured in (POINTS, IMAGE, BOTH):
        read = read_source(part, measured, Preprocessing())
        assert (read.points is None, read.rgb is None) == ("pc" not in measured, "rgb" not in measured)
    unusable = PartInMemory("8", CLOUD, PIXELS[:2])
    assert read_source(unusable, POINTS, Preprocessing()).points is not None


@pytest.mark.parametrize(
    ("part", "measured", "says"),
    [
        (PartInMemory("7", CLOUD), IMAGE, "inspects images: give rgb"),
        (PartInMemory("7", CLOUD), BOTH, "inspects images: give rgb"),
        (PartInMemory("7", None, PIXELS), POINTS, "inspects 3D scans: give points"),
    ],
)
def test_what_the_route_measures_and_nobody_gave_is_said(part: PartInMemory, measured: Any, says: str) -> None:
    with pytest.raises(ScanError, match=says):
        part.read(measured, Preprocessing())


def test_both_arrays_are_copied_so_that_a_camera_may_write_over_them() -> None:
    part = read_source(PartInMemory("7", CLOUD, PIXELS), BOTH, Preprocessing())
    assert part.points is not None and part.rgb is not None
    assert not np.shares_memory(part.points, CLOUD) and not np.shares_memory(part.rgb, PIXELS)


def test_the_unit_is_that_of_the_products_scans() -> None:
    millimetres = np.rint(CLOUD * 1000).astype(np.uint16)
    read = PartInMemory("7", millimetres).read(POINTS, Preprocessing(metres_per_unit=0.001))
    assert read.points is not None
    np.testing.assert_allclose(read.points, CLOUD, atol=6e-4)


def test_a_part_is_in_metres_and_given_back_as_it_is() -> None:
    part = Part(CLOUD, PIXELS)
    assert PartInMemory("7", part).read(POINTS, Preprocessing(metres_per_unit=0.001)) is part
    with pytest.raises(ScanError, match="its own image"):
        PartInMemory("7", part, PIXELS)


def test_files_are_read_as_before(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", CLOUD)
    read = read_source(tmp_path / "a.npy", POINTS, Preprocessing())
    assert read.points is not None and np.array_equal(read.points, CLOUD)


def test_a_digest_tells_numbers_types_shapes_and_images_apart_and_names_not(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", CLOUD)
    different = [
        PartInMemory("a", CLOUD),
        PartInMemory("a", CLOUD + 1),
        PartInMemory("a", CLOUD.astype(np.float64)),
        PartInMemory("a", CLOUD.reshape(5, 4, 3)),
        PartInMemory("a", CLOUD, PIXELS),
        PartInMemory("a", None, PIXELS),
        PartInMemory("a", Part(CLOUD, None, (100.0, 0.0, 0.0))),
        tmp_path / "a.npy",
    ]
    assert len(set(source_digests(different))) == len(different)
    same = [PartInMemory("a", CLOUD), PartInMemory("b", np.asfortranarray(CLOUD))]
    assert len(set(source_digests(same))) == 1


def test_what_holds_no_numbers_has_no_digest() -> None:
    with pytest.raises(ScanError, match=r"7: holds object"):
        PartInMemory("7", CLOUD.astype(object)).digest()
