"""Every error a user can cause or meet, with the exit code both commands return for it.

A message says what is wrong, where, and what to do, in one line. Only `cli/` turns these into exit codes;
anything that is neither a `CmdiadError` nor a failure of the system, such as a full disk, is a bug and keeps its
traceback.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

# What moves a terminal's cursor or turns its text around; breaks and tabs become spaces.
_WRITTEN_OUT = (*range(32), *range(127, 160), 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
_CONTROLS = {code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" for code in _WRITTEN_OUT}
_CONTROLS |= dict.fromkeys(range(9, 14), " ")


# Scans that one error names.
_MOST_NAMED = 10
# Behind an option that a message asks for: what inspects with a bundle, a line or a server too, takes its settings.
WITH_A_BUNDLE = "; if a bundle inspects, calibrate it again with that"


def one_line(text: str) -> str:
    r"""Text that may hold names from outside, as one line and with control characters written out, such as `\x1b`."""
    return text.translate(_CONTROLS)


class CmdiadError(Exception):
    """The base class of all errors; the message is one line, whatever names are in it."""

    exit_code: ClassVar[int] = 2
    kind: ClassVar[str] = "error"

    def __init__(self, message: str = "") -> None:
        """Take a message of any text and make it one line; see `one_line`."""
        super().__init__(one_line(message))


class UsageError(CmdiadError):
    """The command line, a settings file or a function's argument is invalid."""

    exit_code = 2
    kind = "usage"


class WeightsError(CmdiadError):
    """A weights file is missing, damaged, or belongs to a different network."""

    exit_code = 2
    kind = "weights"


class ScanError(CmdiadError):
    """A scan or image cannot be read, or contains nothing that can be inspected."""

    exit_code = 3
    kind = "scan"


class NotFiniteError(CmdiadError):
    """The values computed for a part are not finite, so there is no verdict."""

    exit_code = 3
    kind = "not_finite"


class DamagedScanError(ScanError):
    """A scan's file is damaged, ends too early or does not hold a scan: it may still be being written."""


class PoisonError(ScanError):
    """A scan ends every process that inspects it."""

    kind = "poison"


class BundleError(CmdiadError):
    """A bundle is missing, incomplete, changed, or in a format that this version does not read."""

    exit_code = 4
    kind = "bundle"


class EngineError(CmdiadError):
    """An execution provider, engine or device is not available or refuses the network."""

    exit_code = 5
    kind = "engine"


class ParityError(CmdiadError):
    """An exported network, precision or engine does not compute what it was exported from."""

    exit_code = 6
    kind = "parity"


class LineRateError(CmdiadError):
    """A configuration cannot meet the requested line rate."""

    exit_code = 7
    kind = "line_rate"


class InternalError(CmdiadError):
    """A bug in the program; the traceback is that of its cause."""

    exit_code = 70
    kind = "internal"


class MachineError(CmdiadError):
    """The machine cannot do it: too little memory, or the system refuses (EX_OSERR of sysexits.h)."""

    exit_code = 71
    kind = "machine"


class BusyError(CmdiadError):
    """The queue is full: try again in a moment (EX_TEMPFAIL of sysexits.h)."""

    exit_code = 75
    kind = "busy"


class OutputError(CmdiadError):
    """A result cannot be written: no space, no permission, or standard output fails (EX_IOERR of sysexits.h)."""

    exit_code = 74
    kind = "output"


@contextmanager
def naming_scan(path: object) -> Iterator[None]:
    """Put the part's file, or another name for the part, in front of an error that does not name it yet.

    The error keeps its kind.

    Raises:
        CmdiadError: the error of the block.
    """
    try:
        yield
    except CmdiadError as error:
        if str(error).startswith(one_line(f"{path}:")):
            raise
        raise type(error)(f"{path}: {error}") from error


def all_of(errors: Sequence[ScanError], count: int) -> ScanError:
    """Combine the errors of scans into one, which names the first ten; the same remedy is given once.

    Args:
        errors: at least one; each names its scan.
        count: the number of all scans.
    """
    if len(errors) == 1:
        return errors[0]
    facts: dict[str, list[str]] = {}
    for error in errors[:_MOST_NAMED]:
        fact, _, remedy = str(error).rpartition(": ")
        facts.setdefault(remedy, []).append(fact)
    told = "; ".join(f"{'; '.join(alike)}: {remedy}" for remedy, alike in facts.items())
    more = f"; and {len(errors) - _MOST_NAMED} more" if len(errors) > _MOST_NAMED else ""
    return ScanError(f"{len(errors)} of {count} scans cannot be used: {told}{more}")


def as_cmdiad_error(error: Exception) -> CmdiadError:
    """Turn any error into one with a kind and an exit code, for an outcome that must not end the others.

    A `CmdiadError` stays as it is; a refusal by the system becomes a `MachineError`; anything else is a bug.
    """
    if isinstance(error, CmdiadError):
        return error
    if isinstance(error, MemoryError):
        named: CmdiadError = MachineError(f"this machine has too little memory: {error}")
    elif isinstance(error, OSError):
        named = MachineError(f"the system refuses: {error.strerror or error}")
    else:
        named = InternalError(f"this is a bug in the program ({type(error).__name__}: {error}): report it")
    named.__cause__ = error
    return named
