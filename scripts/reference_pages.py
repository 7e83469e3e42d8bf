"""The generated parts of the reference pages: commands, configuration keys, JSON objects and exit codes, from the code.

A page of docs/reference/ holds a line `<!-- generated: NAME -->`; `scripts/site_hook.py` puts what `GENERATED[NAME]`
gives in its place while the site is built. Nothing generated is committed. To look at a piece:

    python scripts/reference_pages.py commands_line
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import typer
from cmdiad.runtime import errors

MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)
# What a number, a text, ... is called in JSON.
_JSON_WORDS = {int: "integer", float: "number", str: "string", bool: "true or false", types.NoneType: "null"}


class ExitCode(NamedTuple):
    """A code that the commands end with, the `kind` that JSON names it by, and what it says."""

    code: int
    kind: str
    meaning: str


def exit_codes() -> list[ExitCode]:
    """All codes by number: those of the error classes, and those that no error gives."""
    others = [
        ExitCode(0, "", "Done."),
        ExitCode(1, "", "A defect was found; only with `infer --fail-on-defect`."),
        ExitCode(130, "", "Interrupted by Ctrl-C."),
        ExitCode(143, "", "Interrupted by SIGTERM."),
    ]
    raised = [ExitCode(kind.exit_code, kind.kind, _first_line(kind)) for kind in _subclasses(errors.CmdiadError)]
    return sorted([*others, *raised], key=lambda row: (row.code, row.kind))


def exit_code_table() -> str:
    """The table of `exit_codes`."""
    rows = [[str(row.code), f"`{row.kind}`" if row.kind else "", row.meaning] for row in exit_codes()]
    return _table(["code", "`error.kind`", "meaning"], rows)


def command_pages(app: typer.Typer, program: str) -> str:
    """Every command of a program: its usage, help text, arguments and options."""
    group = typer.main.get_command(app)
    return "\n\n".join(_command_section(name, command) for name, command in walk(group, program))


def walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """All commands that do something, with their full names, in the order of the help texts."""
    inner = getattr(command, "commands", {})
    if not inner or command.invoke_without_command:
        yield name, command
    for inner_name, inner_command in inner.items():
        yield from walk(inner_command, f"{name} {inner_name}")


def struct_table(kind: Any) -> str:
    """The keys of a JSON object or a TOML table: type, default, meaning (from `Attributes:` of the docstring)."""
    meanings = attributes_of(kind)
    rows = [
        [f"`{key}`", json_type(hint), _default(default), meanings.get(name, "")]
        for key, name, hint, default in _fields(kind)
    ]
    return _table(["key", "type", "default", "meaning"], rows)


def attributes_of(kind: Any) -> dict[str, str]:
    """What the docstring says of every attribute; several may share a line.

    Example:
        >>> attributes_of(ExitCode)
        {}
    """
    _, _, block = (kind.__doc__ or "").partition("Attributes:\n")
    told: dict[str, str] = {}
    names: list[str] = []
    for line in block.splitlines():
        if begun := re.match(r" {8}((?:\w+, )*\w+): (.*)", line):
            names = begun[1].split(", ")
            told |= dict.fromkeys(names, begun[2])
        elif line.strip():
            told |= {name: f"{told[name]} {line.strip()}" for name in names}
    return {name: re.sub(r"\bNone\b", "null", text[:1].upper() + text[1:]) for name, text in told.items()}


def json_type(hint: Any) -> str:
    """A type in the words of JSON.

    Example:
        >>> json_type(float | None)
        'number or null'
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return json_type(inner[0])
    if origin is typing.Literal:
        return ", ".join(f"`{json.dumps(word)}`" for word in inner)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(json_type(option) for option in inner if option is not msgspec.UnsetType)
    if origin in (list, tuple):
        return f"list of {json_type(inner[0])}"
    if isinstance(hint, type) and hint in _JSON_WORDS:
        return _JSON_WORDS[hint]
    return "object"


def settings_tables() -> str:
    """Every table of `line.toml`."""
    from cmdiad.runtime.service.line_file import LineFile

    sections = []
    for field in msgspec.structs.fields(LineFile):
        inner = typing.get_args(field.type)
        title = f"[[{field.name}]]" if inner else f"[{field.name}]"
        kind = inner[0] if inner else field.type
        sections.append(f"### `{title}`\n\n{_first_line(kind).partition(': ')[2].capitalize()}\n\n{struct_table(kind)}")
    return "\n\n".join(sections)


def fleet_tables() -> str:
    """Every table of `products.toml`; a product has the keys of [defaults] beside its own."""
    from cmdiad.fleet.products_file import DefaultsTable, FleetProduct, FleetTable

    own = _table(["key", "type", "default", "meaning"], [["`name`", "string", "", attributes_of(FleetProduct)["name"]]])
    tables = (("[fleet]", struct_table(FleetTable)), ("[defaults]", struct_table(DefaultsTable)), ("[[product]]", own))
    return "\n\n".join(f"### `{title}`\n\n{table}" for title, table in tables)


def fleet_outcome_table() -> str:
    """One of `products` in `fleet --json`."""
    from cmdiad.fleet.product_task import ProductOutcome

    return struct_table(ProductOutcome)


def sensor_tables() -> str:
    """Every key of `sensor.toml`, with its unit and meaning."""
    from cmdiad.runtime.sensor.sensor_keys import KEY_TEXTS, all_keys

    rows = [[f"`{key}`", KEY_TEXTS[key].unit or "-", KEY_TEXTS[key].meaning] for key in all_keys()]
    return _table(["key", "unit", "meaning"], rows)


def method_table() -> str:
    """The keys of the file that `calibrate --settings` takes."""
    from cmdiad.calibration.settings_file import MethodSettings

    return struct_table(MethodSettings)


def manifest_tables() -> str:
    """The objects of a bundle's manifest."""
    from cmdiad.runtime.bundle import manifest
    from cmdiad.runtime.bundle.parameters import PartRange, Threshold

    kinds = (
        manifest.Manifest,
        manifest.Network,
        manifest.TensorRTEngine,
        manifest.Bank,
        manifest.Calibration,
        Threshold,
        PartRange,
    )
    return "\n\n".join(f"### {kind.__name__}\n\n{_first_line(kind)}\n\n{struct_table(kind)}" for kind in kinds)


def region_table() -> str:
    """The keys of one of the `regions` of `infer --json`."""
    from cmdiad.runtime.verdict.regions import DefectRegion

    fields = [row for row in _fields(DefectRegion) if row[0] != "of"]
    meanings = attributes_of(DefectRegion)
    return _table(["key", "type", "meaning"], [[f"`{row[0]}`", json_type(row[2]), meanings[row[1]]] for row in fields])


def record_table() -> str:
    """The record of a part: `watch --json`, `serve --json`, `history --format json`, HTTP, MQTT and webhooks."""
    from cmdiad.runtime.service.arrival import PartRecord

    return struct_table(PartRecord)


def row_table() -> str:
    """One of the `rows` of `evaluate --json`."""
    from cmdiad.calibration.evaluation.outcomes import Row

    return struct_table(Row)


def inspection_example() -> str:
    """What `infer --json` prints of a part and of one that could not be inspected; on one line each there."""
    told = [json.dumps(answer, indent=2) for answer in inspection_answers()]
    return "\n\n".join(f"```json\n{text}\n```" for text in told)


def inspection_answers() -> list[dict[str, Any]]:
    """An inspection of a made-up part with a defect, and an error, as `infer --json` has them."""
    from pathlib import Path

    import numpy as np
    from cmdiad.runtime.inspection import Inspection
    from cmdiad.runtime.preparation.part_view import PartView
    from cmdiad.runtime.stream import Outcome

    points = np.dstack([*np.meshgrid(np.arange(8) * 1e-3, np.arange(8) * 1e-3), np.full((8, 8), 0.4)])
    values: dict[str, Any] = dict.fromkeys((field.name for field in dataclasses.fields(PartView)), None)
    seen = {"part_pixels": 64, "diameter_m": 0.01, "center_m": (0.0035, 0.0035, 0.4), "on_plane": True}
    view = PartView(**{**values, **seen, "inspected_share": 1.0, "measured_share": 0.98, "other_objects": ()})
    heat = np.zeros((8, 8), np.float32)
    heat[2:4, 3:6] = 3.5
    inspection = Inspection(
        product="flange", score=3.5, threshold=2.4, is_defect=True, map=heat, pixel_threshold=1.5,
        points=points.astype(np.float32), rgb=None, valid=np.ones((8, 8), bool), view=view,
        seconds={"read": 0.017, "preprocess": 0.026, "extract": 0.056, "search": 0.046},
    )  # fmt: skip
    folder = Path("inspections/scans-1f3a")
    good = Outcome(Path("scans/a.tiff"), inspection, folder / "a.tiff_heatmap.png", folder / "a.tiff_map.tiff")
    bad = Outcome(Path("scans/b.tiff"), error=errors.ScanError("scans/b.tiff: is a truncated TIFF file: copy it again"))
    return [json.loads(json.dumps(outcome.as_json())) for outcome in (good, bad)]


def _workstation_pages() -> str:
    from cmdiad.cli.workstation import app

    return command_pages(app, "cmdiad")


def _line_pages() -> str:
    from cmdiad.cli.line import app

    return command_pages(app, "cmdiad-rt")


def _command_section(name: str, command: Any) -> str:
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    pieces = [f"## `{name}`", f"```text\n{usage}\n```", _paragraphs(command.help or "")]
    for title, is_option in (("argument", False), ("option", True)):
        shown = [parameter for parameter in command.params if _is_option(parameter) == is_option]
        rows = [_parameter_row(parameter, context) for parameter in shown if not getattr(parameter, "hidden", False)]
        if rows:
            pieces.append(_table([title, "meaning", "default"], rows))
    return "\n\n".join(pieces)


def _is_option(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "option")


def _parameter_row(parameter: Any, context: Any) -> list[str]:
    name, text = parameter.get_help_record(context) or ("", "")
    name = re.sub(r"^\{(.*)\}", r"\1", name)
    # What stands in brackets at the end is of the help's own making: default, range, required.
    text, _, notes = text.partition("  [")
    return [f"`{name}`", _escaped(text), _escaped(notes.rstrip("]").replace("]  [", "; ").removeprefix("default: "))]


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(piece.split()) for piece in text.split("\n\n"))


def _fields(kind: Any) -> Iterator[tuple[str, str, Any, Any]]:
    """Key, attribute, type and default (`...` where there is none) of a struct's or dataclass's fields."""
    hints = typing.get_type_hints(kind, include_extras=True)
    if dataclasses.is_dataclass(kind):
        for known in dataclasses.fields(kind):
            yield known.name, known.name, hints[known.name], ...
        return
    for field in msgspec.structs.fields(kind):
        made = field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
        yield field.encode_name, field.name, hints[field.name], ... if made is msgspec.NODEFAULT else made


def _default(value: Any) -> str:
    if value is ...:
        return "needed"
    if value is msgspec.UNSET:
        return "unchanged"
    if isinstance(value, msgspec.Struct) or (isinstance(value, dict | list | tuple) and not value):
        return "empty"
    return f"`{msgspec.json.encode(value).decode()}`"


def _first_line(kind: Any) -> str:
    return str(kind.__doc__).strip().partition("\n")[0]


def _subclasses(kind: type[errors.CmdiadError]) -> Iterator[type[errors.CmdiadError]]:
    for inner in kind.__subclasses__():
        if inner.__module__ == errors.__name__:
            yield inner
            yield from _subclasses(inner)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in lines)


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace("*", r"\*").replace("_", r"\_")


GENERATED: dict[str, Callable[[], str]] = {
    "commands_workstation": _workstation_pages,
    "commands_line": _line_pages,
    "exit_codes": exit_code_table,
    "fleet_product": fleet_outcome_table,
    "inspection": inspection_example,
    "line_toml": settings_tables,
    "manifest": manifest_tables,
    "method_toml": method_table,
    "products_toml": fleet_tables,
    "record": record_table,
    "region": region_table,
    "evaluation_row": row_table,
    "sensor_toml": sensor_tables,
}

if __name__ == "__main__":
    for wanted in sys.argv[1:] or GENERATED:
        print(GENERATED[wanted](), end="\n\n")
