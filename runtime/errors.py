"""Every error a user can cause or meet, with the exit code both commands return for it.

A message says what is wrong, where, and what to do, in one line. Only `cli/` turns these into exit codes;
anything that is neither a `CmdiadError` nor a full disk or the like is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar


class CmdiadError(Exception):
    """The root of all errors that are the user's to mend."""

    exit_code: ClassVar[int] = 2
    kind: ClassVar[str] = "error"


class UsageError(CmdiadError):
    """A command or function was asked for something that makes no sense."""

    exit_code = 2
    kind = "usage"


class WeightsError(CmdiadError):
    """A weights file is missing, damaged, or not of the network it was given for."""

    exit_code = 2
    kind = "weights"


class ScanError(CmdiadError):
    """A scan or image cannot be read, or holds nothing that can be inspected."""

    exit_code = 3
    kind = "scan"


class BundleError(CmdiadError):
    """A bundle is missing, incomplete, changed, or of a format this version does not read."""

    exit_code = 4
    kind = "bundle"


class EngineError(CmdiadError):
    """An execution provider, engine or device is not available or refuses the network."""

    exit_code = 5
    kind = "engine"


class ParityError(CmdiadError):
    """An exported artefact does not compute what it was exported from."""

    exit_code = 6
    kind = "parity"


class LineRateError(CmdiadError):
    """A configuration cannot hold the asked line rate."""

    exit_code = 7
    kind = "line_rate"


class OutputError(CmdiadError):
    """A result cannot be written: no space, no permission, or standard output fails (EX_IOERR of sysexits.h)."""

    exit_code = 74
    kind = "output"


@contextmanager
def naming_scan(path: Path) -> Iterator[None]:
    """Put the scan's file in front of a `ScanError` that does not name it yet."""
    try:
        yield
    except ScanError as error:
        if str(path) in str(error):
            raise
        raise ScanError(f"{path}: {error}") from error
