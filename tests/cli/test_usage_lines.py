"""The usage line of each command is that of typer: no dots or braces of our own inside a name."""

from __future__ import annotations

import re

import pytest
from cmdiad.cli import line, workstation
from typer.testing import CliRunner


@pytest.mark.parametrize("app", [line.app, workstation.app], ids=["line", "workstation"])
def test_names_of_arguments_are_plain_words(app):
    runner = CliRunner()
    listed = runner.invoke(app, ["--help"]).stdout.split("Commands:")[1]
    names = re.findall(r"^  ([a-z]+) ", listed, re.MULTILINE)
    assert len(names) > 3
    for name in names:
        usage = runner.invoke(app, [name, "--help"]).stdout.split("\n\n")[0]
        arguments = usage.split("[OPTIONS]")[1].split()
        assert all(re.fullmatch(r"[{\[]?[A-Z_]+[}\]]?(\.\.\.)?", argument) for argument in arguments), usage
