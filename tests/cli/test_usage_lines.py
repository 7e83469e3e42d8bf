"""The usage line of each command: NAME for what must be given, [NAME] for what may be, dots after several."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from cmdiad.cli import line, workstation
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

APPS = {"cmdiad-rt": line.app, "cmdiad": workstation.app}


def commands(group: Any, *path: str) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield from commands(command, *path, name) if isinstance(command, TyperGroup) else [(*path, name)]


ALL = [(program, path) for program, app in APPS.items() for path in commands(get_command(app))]


def usage(program: str, *path: str) -> str:
    printed = CliRunner().invoke(APPS[program], [*path, "--help"], prog_name=program).stdout
    return " ".join(printed.split("\n\n")[0].split())


@pytest.mark.parametrize(
    ("program", "path"), ALL, ids=lambda value: value if isinstance(value, str) else "-".join(value)
)
def test_names_of_arguments_are_plain_words(program: str, path: tuple[str, ...]) -> None:
    begin = f"Usage: {program} {' '.join(path)} [OPTIONS]"
    shown = usage(program, *path)
    assert shown.startswith(begin)
    for argument in shown.removeprefix(begin).split():
        assert re.fullmatch(r"([A-Z]+|\[[A-Z]+\])(\.\.\.)?", argument), shown


def test_there_are_commands_in_groups_too_and_several_scans() -> None:
    assert ("cmdiad", ("weights", "adopt")) in ALL and len(ALL) > 15
    assert usage("cmdiad-rt", "bench") == "Usage: cmdiad-rt bench [OPTIONS] [COMMAND]"
    assert usage("cmdiad-rt", "bench", "compare") == "Usage: cmdiad-rt bench compare [OPTIONS] BEFORE AFTER"
    assert usage("cmdiad", "reproduce") == "Usage: cmdiad reproduce [OPTIONS] N DATA"
    assert usage("cmdiad-rt", "infer") == "Usage: cmdiad-rt infer [OPTIONS] SCAN..."
    assert usage("cmdiad", "preprocess") == "Usage: cmdiad preprocess [OPTIONS] DATA OUT"
    assert usage("cmdiad", "weights", "verify") == "Usage: cmdiad weights verify [OPTIONS] [NAME]..."
