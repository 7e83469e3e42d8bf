"""Formats of scans are found by their modules alone."""

import sys
from pathlib import Path

import pytest
from cmdiad.runtime.sensor import readers

NEW = """
from .format import Format
FORMATS = (Format("NEW", (".new",), lambda data: data == b"new", lambda data: None),)
"""


def test_what_is_read_and_in_which_order() -> None:
    assert readers.SUPPORTED == "TIFF, PLY, PCD, NPY and NPZ"
    assert readers.SUFFIXES == (".tiff", ".tif", ".ply", ".pcd", ".npy", ".npz")


def test_a_module_is_all_that_a_format_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "added.py").write_text(NEW)
    monkeypatch.setattr(readers, "__path__", [*readers.__path__, str(tmp_path)])
    formats = readers.find_formats()
    sys.modules.pop(f"{readers.__name__}.added")
    assert [entry.name for entry in formats] == ["TIFF", "PLY", "PCD", "NPY", "NPZ", "NEW"]
