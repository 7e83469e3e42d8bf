"""One part through the steps: what its error says depends on how it came."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from cmdiad.runtime.errors import DamagedScanError, ScanError
from cmdiad.runtime.sensor.scan import read_scan
from cmdiad.runtime.service.arrival import Accepted, Arrival, FileContent, FileVersion
from cmdiad.runtime.service.inspecting import InspectingSteps, PartJob
from cmdiad.runtime.service.result_files import NOTHING_WANTED

ADVICE = "or it was still being written: raise settle_seconds (watch: --settle)"


class ReadingInspector:
    """An inspector that reads scans as they are, and has no verdict on them."""

    def read(self, path: Path) -> Any:
        """The scan of a file."""
        return read_scan(path)

    def read_bytes(self, data: bytes, image: bytes | None = None) -> Any:
        """Damaged, whatever it is."""
        raise DamagedScanError("is truncated: 1 of 2 points are there: record or copy it again")


def error_of(arrival: Arrival, word_products: Any, tmp_path: Path) -> str:
    word_products.product.loaded.inspector = ReadingInspector()
    steps = InspectingSteps(word_products, tmp_path, lambda: NOTHING_WANTED)
    job = steps.read(PartJob(Accepted(1, arrival, 0.0)))
    assert isinstance(job.error, ScanError) and job.error.kind == "scan"
    return str(job.error)


def truncated(path: Path) -> Path:
    tifffile.imwrite(path, np.ones((20, 30, 3), np.float32), photometric="rgb")
    path.write_bytes(path.read_bytes()[:3000])
    return path


@pytest.mark.parametrize("content", [None, b"", b"\0" * 5000])
def test_a_damaged_file_of_a_hot_folder_may_still_have_been_written(
    content: bytes | None, word_products: Any, tmp_path: Path
) -> None:
    path = truncated(tmp_path / "a.tiff")
    if content is not None:
        path.write_bytes(content)
    said = error_of(Arrival("folder", "a.tiff", path, version=FileVersion("a.tiff", 1, 1)), word_products, tmp_path)
    assert said.startswith(f"{path}: ") and said.count(str(path)) == 1 and ADVICE in said


def test_elsewhere_that_is_not_said(word_products: Any, tmp_path: Path) -> None:
    triggered = Arrival("opcua", "a.tiff", truncated(tmp_path / "a.tiff"))
    assert "is a damaged or truncated TIFF" in (said := error_of(triggered, word_products, tmp_path))
    assert ADVICE not in said
    request = Arrival("http", "a.tiff", content=FileContent(b"1"))
    assert ADVICE not in error_of(request, word_products, tmp_path)


def test_what_is_wrong_with_a_whole_file_is_said_as_it_is(word_products: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    tifffile.imwrite(path, np.ones((20, 30, 3), np.uint16), photometric="rgb")
    said = error_of(Arrival("folder", "a.tiff", path, version=FileVersion("a.tiff", 1, 1)), word_products, tmp_path)
    assert "without a unit" in said and ADVICE not in said
