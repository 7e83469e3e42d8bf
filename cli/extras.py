"""Commands are marked with what they need beyond the line's packages; see `runtime/extras.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


def needs(modules: Modules, unless: Callable[[Mapping[str, Any]], bool] | None = None) -> Callable[[Command], Command]:
    """Mark a command that needs more than every installation has, or does `unless` its arguments ask for less."""

    def mark(command: Command) -> Command:
        vars(command)["needs"], vars(command)["needs_unless"] = modules, unless
        return command

    return mark


def needs_of(command: Callable[..., Any], values: Mapping[str, Any] | None = None) -> Modules:
    """What a command was marked with; with the values that it is called with, what it needs for them."""
    unless = getattr(command, "needs_unless", None)
    if unless is not None and values is not None and unless(values):
        return {}
    modules: Modules = getattr(command, "needs", {})
    return modules
