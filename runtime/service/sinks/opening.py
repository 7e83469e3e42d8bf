"""Which sinks a line file names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..line_file import LineFile
from .sink import Sink


def open_sinks(file: LineFile, base: Path, line: Any) -> list[Sink]:
    """The sinks of a line, which connect when their delivery starts."""
    return []
