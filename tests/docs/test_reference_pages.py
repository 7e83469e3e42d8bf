"""The generated reference is complete: every command, option, key, code and name of the code is in it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import cmdiad
import msgspec
import pytest
import typer
from cmdiad.cli import line, workstation
from cmdiad.runtime import errors
from cmdiad.runtime.service.line_file import LineFile
from cmdiad.scripts.reference_pages import (
    GENERATED,
    MARK,
    attributes_of,
    exit_codes,
    inspection_answers,
    json_type,
    walk,
)

from .pages import PAGES, ROOT, text_of

PAGE = ROOT / "docs" / "reference"


@pytest.mark.parametrize(
    ("name", "app", "program"),
    [("commands_workstation", workstation.app, "cmdiad"), ("commands_line", line.app, "cmdiad-rt")],
)
def test_every_command_and_option_is_there(name: str, app: typer.Typer, program: str) -> None:
    sections = dict(re.findall(r"^## `([^`]+)`\n(.*?)(?=^## |\Z)", GENERATED[name](), re.MULTILINE | re.DOTALL))
    commands = dict(walk(typer.main.get_command(app), program))
    assert set(sections) == set(commands) and len(commands) >= 8
    for full_name, command in commands.items():
        options = [option for known in command.params for option in known.opts if option.startswith("--")]
        assert [option for option in options if not re.search(rf"{option}\b", sections[full_name])] == [], full_name


def test_every_error_has_its_code_and_kind_in_the_table_and_in_troubleshooting() -> None:
    rows = exit_codes()
    kinds = {kind.kind: kind.exit_code for kind in vars(errors).values() if isinstance(kind, type)
             and issubclass(kind, errors.CmdiadError) and kind is not errors.CmdiadError}  # fmt: skip
    assert {row.kind: row.code for row in rows if row.kind} == kinds
    page = text_of(ROOT / "docs" / "how_to" / "troubleshooting.md")
    headings = {int(code) for title in re.findall(r"^## ([\d, ]+):", page, re.MULTILINE) for code in title.split(",")}
    assert headings == {row.code for row in rows}
    told = [kind for kind in kinds if f"`{kind}`" in page]
    assert sorted(told) == sorted(kinds)


def test_every_key_of_the_lines_file_is_there() -> None:
    text = GENERATED["line_toml"]()
    for table in msgspec.structs.fields(LineFile):
        section = text.partition(f"[{table.name}]")[2].partition("### ")[0]
        kind = table.type.__args__[0] if hasattr(table.type, "__args__") else table.type
        assert [key for key in kind.__struct_fields__ if f"| `{key}` |" not in section] == [], table.name


def test_every_mark_is_generated_and_everything_generated_has_its_place() -> None:
    marks = [mark[1] for page in PAGES for mark in MARK.finditer(text_of(page))]
    assert sorted(marks) == sorted(GENERATED)


def test_the_keys_of_an_inspection_are_those_that_are_explained() -> None:
    whole, failed = inspection_answers()
    explained = set(re.findall(r"`(\w+)`", text_of(ROOT / "docs" / "line.md").partition("### `--json`")[2]))
    assert {*whole, *failed, *whole["regions"][0]} - explained == set()
    assert whole["is_defect"] and whole["regions_found"] == 1 and failed["error"]["kind"] == "scan"


def test_every_public_name_has_its_entry() -> None:
    entries = set(re.findall(r"^::: cmdiad\.[\w.]*\.(\w+)$", text_of(PAGE / "python_api.md"), re.MULTILINE))
    named = {name for name in cmdiad.__all__ if not name.startswith("__") and not name.endswith("Error")}
    assert named - entries == set() and "errors" in entries


def documented_modules() -> list[Path]:
    """The modules of the names on the page of Python names."""
    named = re.findall(r"^::: cmdiad\.([\w.]+)$", text_of(PAGE / "python_api.md"), re.MULTILINE)
    files = {ROOT / f"{name.rpartition('.')[0].replace('.', '/')}.py" for name in named}
    return sorted(file for file in files if file.is_file())


@pytest.mark.parametrize("module", documented_modules(), ids=lambda module: module.name)
def test_arguments_are_described_one_a_line_as_the_site_needs_it(module: Path) -> None:
    for node in ast.walk(ast.parse(text_of(module))):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            told = (ast.get_docstring(node) or "").partition("Args:\n")[2].partition("\n\n")[0]
            names = re.findall(r"^ {4}(\w[^:]*):", told, re.MULTILINE)
            known = [argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)]
            assert [name for name in names if name not in known] == [], node.name


def test_docstrings_and_types_are_read_as_they_are_meant() -> None:
    class Kind:
        """What it is.

        Attributes:
            one: the first; None where
                there is none.
            two, three: both.
        """

    text = (Kind.__doc__ or "").replace("\n    ", "\n")
    Kind.__doc__ = text
    assert attributes_of(Kind) == {"one": "The first; null where there is none.", "two": "Both.", "three": "Both."}
    assert json_type(list[int]) == "list of integer" and json_type(str | None) == "string or null"
