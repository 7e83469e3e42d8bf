"""Every setting that a message tells a user to change is one that there is, and can be set."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cmdiad.runtime.bundle.parameters import Preprocessing
from cmdiad.runtime.sensor.sensor_keys import TABLES, all_keys

RUNTIME = Path(__file__).resolve().parents[3] / "runtime"
FILES = sorted(path for room in ("preparation", "sensor") for path in (RUNTIME / room).rglob("*.py"))
KEY = re.compile(rf"\b(?:{'|'.join(TABLES)})\.[a-z_]+(?:\.[a-z_]+)?")
ASSIGNMENT = re.compile(r"--set ([\w.]+)")
PARAMETERS = [field.name for field in msgspec.structs.fields(Preprocessing) if "_" in field.name]
# The modules that read and write the description itself, whose texts are not about scans.
OF_DESCRIPTION = ("sensor_file.py", "sensor_keys.py", "sensor_writing.py")


def text_of(node: ast.expr) -> str:
    """The words of a message; what is filled in while it runs is a blank."""
    if isinstance(node, ast.Constant):
        return str(node.value) if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) if isinstance(part, ast.Constant) else "_" for part in node.values)
    if isinstance(node, ast.BinOp):
        return text_of(node.left) + text_of(node.right)
    return ""


def docstrings(tree: ast.AST) -> set[int]:
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef)
    return {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, owners) and node.body and isinstance(node.body[0], ast.Expr)
    }


def messages() -> Iterator[tuple[str, str]]:
    """Every text of several words, with its place."""
    for path in FILES:
        if path.name in OF_DESCRIPTION:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        skipped = docstrings(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in skipped:
                text = text_of(node)
                if len(text.split()) > 3:
                    yield f"{path.name}:{node.lineno}", text


MESSAGES = list(messages())


def test_messages_name_settings_at_all() -> None:
    named = [key for _, text in MESSAGES for key in KEY.findall(text)]
    assert {"preprocessing.plane", "preprocessing.plane_distance_m", "preprocessing.cluster_distance_m"} <= set(named)


def test_every_key_that_a_message_names_exists() -> None:
    known = set(all_keys())
    wrong = [(place, key) for place, text in MESSAGES for key in KEY.findall(text) if key.rstrip(".") not in known]
    wrong += [(place, key) for place, text in MESSAGES for key in ASSIGNMENT.findall(text) if key not in known]
    assert wrong == []


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_is_named_with_its_table(name: str) -> None:
    bare = re.compile(rf"(?<![\w.]){name}\b")
    assert [place for place, text in MESSAGES if bare.search(text)] == []


def test_every_option_that_a_message_names_is_one_of_calibrate() -> None:
    from cmdiad.cli.workstation import app
    from typer.main import get_command

    options = {option for parameter in get_command(app).commands["calibrate"].params for option in parameter.opts}
    named = {(place, option) for place, text in MESSAGES for option in re.findall(r"--[a-z][a-z-]+", text)}
    assert named
    assert {(place, option) for place, option in named if option not in options} == set()
