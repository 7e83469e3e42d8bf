"""`cmdiad inspect`: what a bundle, an ONNX file or an engine is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from . import console, options
from .extras import INSPECT, needs

WIDTH = 110


@needs(INSPECT)
def inspect(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A bundle, an ONNX file or an engine.")],
    everything: Annotated[
        bool, typer.Option("--all", help="For a bundle, show everything: graphs, digests, checks, this machine.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Show what a bundle, an ONNX file or an engine contains, and whether it runs here.

    Exit codes: 0 done, 2 PATH is something else, 4 bad bundle.
    """
    from ..export.description import describe

    description = describe(path)
    if json:
        console.emit_json(description)
        return
    summarized = description["kind"] == "bundle" and not everything
    for line in _summary(description) if summarized else _lines(description, 0):
        console.emit(line)


def _summary(bundle: dict[str, Any]) -> list[str]:
    """What one wants to know of a bundle at first sight."""
    sizes = {name: entry["bytes"] for name, entry in bundle["files"].items()}
    networks = (f"{name} ({_mb(sizes[name])})" for name in [*bundle["graphs"], "line.onnx"] if name in sizes)
    banks = (f"{role} {bank['n_rows']:,} x {bank['dim']}" for role, bank in bundle["banks"].items())
    golden = sorted(name.split("/")[1].split("_scan")[0] for name in sizes if "_scan" in name)
    accepted = bundle["parity"]["accepted"]
    rows = {
        "bundle": f"{bundle['path']} ({_mb(sum(sizes.values()))} in {len(sizes)} files, verified)",
        "signature": bundle["signature"],
        "product": bundle["product"],
        "route": f"{bundle['route']}, main modality {bundle['main']}",
        "precision": bundle["precision"],
        "calibrated": _calibration(bundle["calibration"]),
        "banks": "; ".join(banks) or "none",
        "networks": "; ".join(networks),
        "engines": "; ".join(engine["file"] for engine in bundle["engines"]) or "none",
        "golden": ", ".join(golden) or "none",
        "parity": "passed" if bundle["parity"]["passed"] else f"accepted although refused: {accepted}",
        "runs here": ", ".join(
            entry["name"] for entry in bundle["this_machine"] if entry["topic"] == "provider" and entry["runs"]
        )
        or "on nothing: see `cmdiad doctor`",
    }
    return [*(f"{name + ':':12}{text}" for name, text in rows.items()), "everything else: --all"]


def _calibration(calibration: dict[str, Any] | None) -> str:
    import msgspec

    from ..runtime.bundle.parameters import Threshold

    if calibration is None:
        return "no: run `cmdiad calibrate SCANS`"
    return f"yes: {msgspec.convert(calibration['threshold'], Threshold).describe()}"


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _lines(value: Any, depth: int) -> list[str]:
    """Plain values as indented `name: value` lines; what fits on a line stays on it."""
    named = value.items() if isinstance(value, dict) else [("", item) for item in value]
    lines: list[str] = []
    for name, item in named:
        label = "  " * depth + (f"{name}: " if name else "- ")
        text = _text(item)
        if isinstance(item, dict | list) and item and len(label) + len(text) > WIDTH:
            lines += [label.rstrip(), *_lines(item, depth + 1)]
        else:
            lines.append(label + text)
    return lines


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(item)}" for name, item in value.items()) or "none"
    if isinstance(value, list):
        return "; ".join(map(_text, value)) or "none"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "none" if value is None or value == "" else str(value)
