"""A line without networks: what a scan's file says decides what becomes of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cmdiad.benchmarks.fuzz.word_inspection import inspection_of
from cmdiad.runtime.errors import EngineError, ScanError
from cmdiad.runtime.inspection import Inspection
from cmdiad.runtime.service.inspector_settings import InspectorSettings
from cmdiad.runtime.service.journal import Journal
from cmdiad.runtime.service.products import Loaded, Product


class WordInspector:
    """An inspector of files that hold a word: good, defect, bad (no scan), lost (the device) or deadly."""

    def __init__(self) -> None:
        self.read_files: list[str] = []
        self.closed = False

    def read(self, path: Path) -> str:
        """The file's word; ScanError where it is bad."""
        self.read_files.append(path.name)
        try:
            return self.read_bytes(path.read_bytes())
        except FileNotFoundError as cause:
            raise ScanError("no such file") from cause

    def read_bytes(self, data: bytes, image: bytes | None = None) -> str:
        """The same of a file's content."""
        word = data.decode()
        if word not in ("good", "defect", "lost", "deadly"):
            raise ScanError(f"holds {word!r}")
        return word

    def read_arrays(self, points: np.ndarray, rgb: np.ndarray | None = None) -> str:
        """Points count as good."""
        return "good"

    def finish(self, word: str) -> Inspection:
        """Score 2 of threshold 1 for a defect, 0.5 for a good part."""
        if word == "lost":
            raise EngineError("the device is gone")
        if word == "deadly":
            os._exit(9)
        return inspection_of(word)

    def close(self) -> None:
        """Note it."""
        self.closed = True


class WordProducts:
    """Products whose one bundle is a `WordInspector`."""

    def __init__(self) -> None:
        self.settings = InspectorSettings()
        self.inspector: Any = WordInspector()
        self.product = Product("thing", Path("nowhere"), loaded=Loaded(self.inspector, "d" * 64, 0.0))

    def named(self, name: str | None) -> Product:
        """The one product."""
        return self.product

    def borrow(self, product: Product) -> Loaded:
        """Its bundle."""
        assert product.loaded is not None
        return product.loaded

    def give_back(self, product: Product, loaded: Loaded) -> None:
        """Nothing to do."""


@pytest.fixture
def word_products() -> Any:
    """See `WordProducts`."""
    return WordProducts()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """An empty journal."""
    opened = Journal(tmp_path / "out")
    yield opened
    opened.close()


@pytest.fixture
def shell_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let child processes be a shell script of some words in place of Python."""

    def be(words: str) -> None:
        script = tmp_path / "python"
        script.write_text(f"#!/bin/sh\n{words}\n")
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))

    return be


@pytest.fixture
def result() -> SimpleNamespace:
    """What a record needs besides its number."""
    return SimpleNamespace(
        source="folder",
        scan="a.tiff",
        part_id=None,
        product="thing",
        bundle="d" * 64,
        accepted_at=1.0,
        finished_at=2.0,
        verdict="good",
        score=0.5,
        threshold=1.0,
        result={"tries": 1},
    )
