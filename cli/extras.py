"""Commands are marked with what they need beyond the line's packages; see `runtime/extras.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ..runtime.extras import CALIBRATE, EVALUATE, EXPORT, INSPECT, SERVE, SIGN, TRAIN, VIZ, Modules, require_extras

__all__ = [
    "CALIBRATE",
    "EVALUATE",
    "EXPORT",
    "INSPECT",
    "SERVE",
    "SIGN",
    "TRAIN",
    "VIZ",
    "Modules",
    "needs",
    "needs_of",
    "require_extras",
]

Command = TypeVar("Command", bound=Callable[..., Any])


def needs(modules: Modules) -> Callable[[Command], Command]:
    """Mark a command that needs more than every installation has."""

    def mark(command: Command) -> Command:
        vars(command)["needs"] = modules
        return command

    return mark


def needs_of(command: Callable[..., Any]) -> Modules:
    """What a command was marked with."""
    modules: Modules = getattr(command, "needs", {})
    return modules
