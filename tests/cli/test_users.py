"""`cmdiad-rt users`."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from cmdiad.cli.entry import outcome
from cmdiad.cli.line import app
from cmdiad.runtime.service.users import read_users


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_password_comes_by_a_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "users"
    for password, words in (("correct horse", "plc may log in"), ("battery staple", "plc has a new password")):
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{password}\nnot this\n"))
        assert outcome(app, "cmdiad-rt", ["users", "add", str(file), "plc"]) == 0
        assert capsys.readouterr().out == f"{file}: {words}\n"
    assert read_users(file).may_enter("plc", "battery staple")


def test_a_password_is_asked_for_twice_and_must_be_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, typed = tmp_path / "users", ["correct horse", "correct house", "correct horse", "correct horse"]
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", lambda prompt: typed.pop(0))
    assert outcome(app, "cmdiad-rt", ["users", "add", str(file), "plc"]) == 2
    assert "the two passwords differ" in capsys.readouterr().err and not file.exists()
    assert outcome(app, "cmdiad-rt", ["users", "add", str(file), "plc"]) == 0
    assert read_users(file).may_enter("plc", "correct horse")
