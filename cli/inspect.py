"""`cmdiad inspect`: what a bundle, an ONNX file or an engine is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from . import console
from .options import JsonOption

WIDTH = 110


def inspect(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A bundle, an ONNX file or an engine.")],
    json: JsonOption = False,
) -> None:
    """Say what a bundle, an ONNX file or an engine is: tensors, precision, size, digests, and whether it runs here.

    Exit codes: 0 done, 2 none of these, 4 bad bundle.
    """
    from ..export.description import describe

    found = describe(path)
    if json:
        console.emit_json(found)
        return
    for line in _lines(found, 0):
        console.emit(line)


def _lines(value: Any, depth: int) -> list[str]:
    """Plain values as indented `name: value` lines; what fits on a line stays on it."""
    named = value.items() if isinstance(value, dict) else [("", each) for each in value]
    lines: list[str] = []
    for name, each in named:
        label = "  " * depth + (f"{name}: " if name else "- ")
        text = _text(each)
        if isinstance(each, dict | list) and each and len(label) + len(text) > WIDTH:
            lines += [label.rstrip(), *_lines(each, depth + 1)]
        else:
            lines.append(label + text)
    return lines


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items()) or "none"
    if isinstance(value, list):
        return "; ".join(map(_text, value)) or "none"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "none" if value is None or value == "" else str(value)
