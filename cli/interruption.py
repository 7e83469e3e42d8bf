"""Ctrl-C and SIGTERM: what is being written is given up in good order, and one line says how to go on."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn, TypeVar

# Ctrl-C pressed this often while the command gives up: it ends at once.
_PATIENCE = 3
Command = TypeVar("Command", bound=Callable[..., Any])


class Interruption(BaseException):
    """Ctrl-C or SIGTERM ended a command.

    Not a `KeyboardInterrupt`, which typer takes for an exit of its own and a command inside a command would swallow.
    """

    def __init__(self, hint: str = "") -> None:
        self.hint = hint

    def describe(self) -> str:
        """The line that the user reads."""
        return f"interrupted: {self.hint}" if self.hint else "interrupted"


def when_interrupted(hint: str) -> Callable[[Command], Command]:
    """Mark a command with what it leaves when it is interrupted, and how its work goes on."""

    def mark(command: Command) -> Command:
        vars(command)["hint_when_interrupted"] = hint
        return command

    return mark


def hint_of(command: Callable[..., Any]) -> str:
    """What a command was marked with; empty where it leaves nothing."""
    hint: str = getattr(command, "hint_when_interrupted", "")
    return hint


class _Signals:
    """What has come in so far."""

    first: int | None = None
    count = 0


def watch_signals() -> None:
    """From now on SIGTERM interrupts as Ctrl-C does; whoever started us without Ctrl-C stays without it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            signal.signal(number, _interrupt)


def ignore_signals() -> None:
    """We are leaving already."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def was_interrupted() -> bool:
    """Whether a signal came; what fails after it fails because of it."""
    return _Signals.count > 0


def exit_code() -> int:
    """130 for Ctrl-C, 143 for SIGTERM, as a shell has it."""
    return 128 + (_Signals.first or signal.SIGINT)


def leave_at_once(code: int) -> NoReturn:
    """End the process without the interpreter's shutdown: threads that are inside a library would crash in it."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _Signals.first = _Signals.first or number
    _Signals.count += 1
    if _Signals.count >= _PATIENCE:
        os._exit(exit_code())
    raise KeyboardInterrupt
