"""How the code is laid out: short functions and modules, and one name for one thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("calibration", "cli", "export", "fleet", "reproduce", "runtime", "training", "viewing")
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
# Words that a stage's user chooses by, and the tests' own; a command's file is called as the command.
SHARED_NAMES = {"__init__.py", "choices.py"}
LONGEST, LONGEST_COMMAND, LONGEST_MODULE = 40, 80, 400


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef):
            yield f"{path.relative_to(ROOT)}: {node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def test_functions_are_short() -> None:
    lengths = {name: length for path in FILES for name, length in functions(path)}
    allowed = {name: LONGEST_COMMAND if name.startswith("cli/") else LONGEST for name in lengths}
    assert {name: length for name, length in lengths.items() if length > allowed[name]} == {}
    assert median(lengths.values()) < 10


def test_modules_are_short() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: length for name, length in lengths.items() if length > LONGEST_MODULE} == {}


def test_no_two_classes_share_a_name() -> None:
    places = defaultdict(list)
    for path in FILES:
        for node in nodes(path):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(path.relative_to(ROOT)))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_no_two_modules_share_a_name_but_a_command_and_its_room() -> None:
    places = defaultdict(list)
    for path in FILES:
        if path.name not in SHARED_NAMES and path.relative_to(ROOT).parts[0] != "cli":
            places[path.name].append(str(path.relative_to(ROOT)))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


@pytest.mark.parametrize("word", ["each", "found"])
def test_loop_variables_say_what_they_hold(word: str) -> None:
    bound = {
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in FILES
        for node in nodes(path)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == word
    }
    assert bound == set()
