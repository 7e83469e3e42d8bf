"""What becomes of an error that reaches the top of a command: one line and a code that says whose it is."""

from __future__ import annotations

import errno
import os

import pytest
import typer
from cmdiad.cli import console
from cmdiad.runtime.errors import BundleError


def outcome(error: BaseException, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def command() -> None:
        raise error

    monkeypatch.setattr("sys.argv", ["cmdiad", *arguments])
    with pytest.raises(SystemExit) as left:
        console.run(app, "cmdiad")
    return left.value.code


def refusal(number: int, *filename: str) -> OSError:
    return OSError(number, os.strerror(number), *filename)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (BundleError("b: was\nchanged"), 4, "error: b: was changed"),
        (refusal(errno.ENOSPC), 2, "error: No space left on device: free some space"),
        (refusal(errno.EACCES, "/place"), 2, "error: /place: Permission denied: give this user the right"),
        (MemoryError("Unable to allocate 9 TiB"), 2, "too little memory for that: Unable to allocate 9 TiB"),
    ],
)
def test_what_is_not_the_programs_fault_is_one_line(
    error: Exception, code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(error, monkeypatch) == code
    printed = capsys.readouterr().err
    assert line in printed and printed.count("\n") == 1


def test_an_interruption_has_its_own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    assert outcome(KeyboardInterrupt(), monkeypatch) == 130


@pytest.mark.parametrize("error", [ValueError("oh"), refusal(errno.ENOENT, "gone")])
def test_a_bug_is_never_taken_for_a_defective_part(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(error, monkeypatch) == 70
    printed = capsys.readouterr().err
    assert "Traceback" in printed and "report it" in printed


def test_debug_adds_the_traceback_and_keeps_the_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(BundleError("b: was changed"), monkeypatch, "--debug") == 4
    assert "Traceback" in capsys.readouterr().err
