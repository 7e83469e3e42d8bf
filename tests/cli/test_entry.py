"""What becomes of an error that reaches the top of a command: one line and a code that says whose it is."""

from __future__ import annotations

import errno
import inspect
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import pytest
import typer
from cmdiad.cli import entry, line, workstation
from cmdiad.runtime.errors import BundleError, CmdiadError, OutputError
from typer.core import TyperGroup
from typer.main import get_command


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
        (MemoryError("Unable to allocate 9 TiB"), 71, "too little memory: Unable to allocate 9 TiB"),
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


PROGRAMS = {"cmdiad": workstation.app, "cmdiad-rt": line.app}


def all_commands(group: TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from all_commands(command, (*path, name))
        if not isinstance(command, TyperGroup) or command.invoke_without_command:
            yield (*path, name), command


def float_options() -> list[tuple[str, tuple[str, ...], list[str], str]]:
    """Program, command, arguments it cannot do without, and option, of every option that takes a number."""
    options = []
    for program, app in PROGRAMS.items():
        group = get_command(app)
        assert isinstance(group, TyperGroup)
        for path, command in all_commands(group):
            hints = get_type_hints(inspect.unwrap(command.callback))
            needed: list[str] = []
            for parameter in command.params:
                if parameter.required:
                    value = "2" if parameter.metavar == "N" else "x.npz"
                    needed += [value] if parameter.param_type_name == "argument" else [parameter.opts[0], value]
            options += [
                (program, path, needed, parameter.opts[0])
                for parameter in command.params
                if "float" in str(hints.get(parameter.name))
            ]
    return options


def test_there_are_options_to_try() -> None:
    found = {(program, *path, option) for program, path, _, option in float_options()}
    assert len(found) >= 15
    assert {("cmdiad-rt", "infer", "--threshold"), ("cmdiad", "train", "--learning-rate")} <= found
    assert {("cmdiad-rt", "bench", "--rate"), ("cmdiad-rt", "bench", "--seconds")} <= found


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(("program", "path", "needed", "option"), float_options())
def test_no_option_of_any_command_takes_a_number_that_is_none(
    program: str,
    path: tuple[str, ...],
    needed: list[str],
    option: str,
    value: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert entry.outcome(PROGRAMS[program], program, [*path, *needed, f"{option}={value}"]) == 2
    printed = capsys.readouterr().err
    assert option in printed and printed.count("\n") == 1 and "Traceback" not in printed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("program", "arguments", "words"),
    [
        ("cmdiad", ["infer"], "use `cmdiad-rt infer`"),
        ("cmdiad-rt", ["calibrate", "scans"], "use `cmdiad calibrate`"),
        ("cmdiad-rt", ["infr"], "Did you mean 'infer'"),
        ("cmdiad", ["train", "d", "--route", "f3f"], "error: --route: 'f3f' is not one of 'f2f', 'f2i', 'i2f': see"),
        (
            "cmdiad",
            ["train", "d", "--epochs", "ten"],
            "error: --epochs: give a whole number: see `cmdiad train",
        ),
        ("cmdiad", ["train", "d", "--learning-rate", "slow"], "error: --learning-rate: give a number: see"),
        ("cmdiad", ["train", "d", "--batch-size", "0"], "--batch-size"),
        ("cmdiad", ["train"], "Missing argument 'DATA'"),
        ("cmdiad", ["train", "d", "--rout", "f2f"], "--route"),
    ],
)
def test_wrong_use_is_one_line_without_a_librarys_words(
    program: str, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert entry.outcome(PROGRAMS[program], program, arguments) == 2
    printed = capsys.readouterr().err
    assert words in printed and printed.count("\n") == 1 and "Value error" not in printed


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_cuts_no_summary_and_mixes_no_metavars(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    group = get_command(PROGRAMS[program])
    assert isinstance(group, TyperGroup)
    groups = [(), *((name,) for name, command in group.commands.items() if isinstance(command, TyperGroup))]
    for path in groups:
        assert entry.outcome(PROGRAMS[program], program, [*path, "-h"]) == 0
        listed = capsys.readouterr().out.split("Commands:")[1].split("\n\n")[0]
        assert "..." not in listed, listed
    for path, command in all_commands(group):
        arguments = [each for each in command.params if each.param_type_name == "argument"]
        assert all(str(each.metavar).strip("[]{}.").isupper() for each in arguments), path


def test_a_program_alone_shows_its_help_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.outcome(workstation.app, "cmdiad", []) == 2
    assert "Commands:\n" in capsys.readouterr().err
