"""Standard output and standard error, whatever is behind them: a file, a full disk, nobody.

Only the command's own bytes go to standard output. It is taken away from everybody else: what a library prints there,
from Python or from C, arrives on standard error.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..runtime.files.json_encoding import escape_name

_STDOUT, _STDERR = 1, 2


class Output:
    """Standard output, for our own bytes.

    A reader that went away is not an error: what was meant for it is dropped. After any other failure nothing more is
    written, so that what arrived is a beginning of the whole.

    Attributes:
        descriptor: where it is written.
        failure: why the output could not be written; None where it could.
    """

    def __init__(self, descriptor: int, encoding: str) -> None:
        self.descriptor, self._encoding = descriptor, encoding
        self._reader_left = False
        self.failure: OSError | None = None

    def write(self, data: bytes) -> bool:
        """Write at once; False where this is the write that failed."""
        if self._reader_left or self.failure is not None:
            return True
        try:
            write_all(self.descriptor, data)
        except OSError as error:
            if error.errno == errno.EPIPE:
                self._reader_left = True
                return True
            self.failure = error
            return False
        return True

    def encode(self, text: str) -> bytes:
        """Text as the reader takes it; what its encoding lacks is escaped as in Python's source."""
        return escape_name(text).encode(self._encoding, "backslashreplace")


class _Raw(io.RawIOBase):
    """A descriptor below a text stream, whose failures nobody hears of."""

    def __init__(self, descriptor: int, output: Output | None = None) -> None:
        self._descriptor, self._output = descriptor, output
        self.name = "<stderr>" if output is None else "<stdout>"

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        content = bytes(data)
        if self._output is not None:
            self._output.write(content)
        else:
            with suppress(OSError):
                write_all(self._descriptor, content)
        return len(content)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte to a descriptor, also where its other end made it non-blocking.

    Raises:
        OSError: it cannot be written.
    """
    rest = memoryview(data)
    while rest:
        with suppress(BlockingIOError):
            rest = rest[os.write(descriptor, rest) :]
            continue
        select.select([], [descriptor], [])


def claim_streams() -> Output:
    """Take the standard streams for the rest of the process.

    Returns:
        Standard output. `sys.stdout` writes to it too, until `libraries_on_stderr`; descriptor 1 is standard error.
    """
    for descriptor in range(3):
        _open_if_closed(descriptor)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    if sys.stdout is not None:
        with suppress(OSError):
            sys.stdout.flush()
    output = Output(os.dup(_STDOUT), encoding)
    os.dup2(_STDERR, _STDOUT)
    sys.stdout = _text(_Raw(output.descriptor, output), encoding)
    sys.stderr = _text(_Raw(_STDERR), getattr(sys.stderr, "encoding", None) or "utf-8")
    return output


@contextmanager
def libraries_on_stderr() -> Iterator[None]:
    """While a command runs, what anybody else prints is for people and goes to standard error.

    Where the streams were not claimed, as in a test, they are left alone.
    """
    before = sys.stdout
    if isinstance(getattr(before, "buffer", None), _Raw):
        sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout = before


def _text(raw: _Raw, encoding: str) -> io.TextIOWrapper:
    # No buffer: nothing is left to be written when the interpreter ends.
    return io.TextIOWrapper(raw, encoding, "backslashreplace", write_through=True)


def _open_if_closed(descriptor: int) -> None:
    """A closed descriptor would be given to the next file that is opened, and messages would land in it."""
    try:
        os.fstat(descriptor)
    except OSError:
        nothing = os.open(os.devnull, os.O_RDWR)
        if nothing != descriptor:
            os.dup2(nothing, descriptor)
            os.close(nothing)
