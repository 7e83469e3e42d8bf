"""What becomes of an error that reaches the top of a command: one line and a code that says whose it is."""

from __future__ import annotations

import errno
import os
from typing import Annotated

import pytest
import typer
from cmdiad.cli import entry
from cmdiad.runtime.errors import BundleError, CmdiadError, OutputError


def outcome(error: BaseException, *arguments: str) -> int:
    app = entry.new_app("An app.")

    @app.callback()
    def root() -> None:
        pass

    @app.command()
    def command() -> None:
        raise error

    return entry.outcome(app, "cmdiad", ["command", *arguments])


def refusal(number: int, *filename: str) -> OSError:
    return OSError(number, os.strerror(number), *filename)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (BundleError("b: was\nchanged"), 4, "error: b: was changed"),
        (OutputError("o: cannot be written"), 74, "error: o: cannot be written"),
        (refusal(errno.ENOSPC), 74, "error: No space left on device: free some space"),
        (refusal(errno.EACCES, "/place"), 74, "error: /place: Permission denied: give this user the right"),
        (MemoryError("Unable to allocate 9 TiB"), 2, "too little memory for that: Unable to allocate 9 TiB"),
    ],
)
def test_what_is_not_the_programs_fault_is_one_line(
    error: Exception, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(error) == code
    printed = capsys.readouterr().err
    assert line in printed and printed.count("\n") == 1


@pytest.mark.parametrize("error", [ValueError("oh"), refusal(errno.ENOENT, "gone"), EOFError()])
def test_a_bug_is_never_taken_for_a_defective_part(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(error) == 70
    printed = capsys.readouterr().err
    assert "Traceback" in printed and "report it" in printed


def test_debug_adds_the_traceback_and_keeps_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(BundleError("b: was changed"), "--debug") == 4
    assert "Traceback" in capsys.readouterr().err


def test_every_class_of_error_has_a_code_and_none_is_that_of_a_defect() -> None:
    for kind in CmdiadError.__subclasses__():
        assert outcome(kind("x")) == kind.exit_code not in (0, 1)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999"])
@pytest.mark.parametrize("option", ["--one", "--limited", "--many"])
def test_a_number_that_is_none_is_refused(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    app = entry.new_app("An app.")

    @app.callback()
    def root() -> None:
        pass

    @app.command()
    def command(
        one: float | None = None,
        limited: Annotated[float, typer.Option(min=0.0)] = 1.0,
        many: list[float] | None = None,
    ) -> None:
        raise AssertionError("it ran")

    assert entry.outcome(app, "cmdiad", ["command", f"{option}={value}"]) == 2
    printed = capsys.readouterr().err
    assert option in printed and printed.count("\n") == 1
