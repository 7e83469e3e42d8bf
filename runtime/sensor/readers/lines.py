"""Lines of text formats, whatever ends them: a line feed, a carriage return, both, or now one and now another.

Headers are split as bytes. As text, `splitlines` and `split` would also break at bytes that are letters of a comment
in another encoding, such as \\x85.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...errors import DamagedScanError
from .limits import MAX_HEADER_BYTES

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BREAK = re.compile(rb"\r\n|\r|\n")


def header_lines(header: bytes) -> list[list[str]]:
    """The words of every line of a header, split at spaces and tabs; blank lines have none."""
    return [[word.decode("latin-1") for word in line.split()] for line in _BREAK.split(header)]


def body_start(data: bytes, end: int) -> int:
    r"""Where the body begins: behind the line break that stands at `end` of the header's last line.

    "\r\n" is one line break, unless every other line of the header ends with "\r" alone: then the "\n" is the first
    byte of a binary body.
    """
    is_pair = data.startswith(b"\r\n", end) and b"\n" in data[:end]
    return end + (2 if is_pair else 1)


class TextLines:
    """The lines of a text body that are not blank, one after the other, and where the last one stands in the file."""

    def __init__(self, data: bytes, start: int) -> None:
        """Begin at an offset of a file's bytes."""
        self._lines_before = len(_BREAK.findall(data[:start]))
        has_returns = data.find(b"\r", start) >= 0
        self._text = data[start:].replace(b"\r\n", b"\n").replace(b"\r", b"\n") if has_returns else data
        self._start = self._position = 0 if has_returns else start

    def __iter__(self) -> Iterator[bytes]:
        """Go on behind the last line taken.

        Raises:
            ScanError: a line is longer than any point's.
        """
        while self._position < len(self._text):
            start = self._position
            end = self._text.find(b"\n", start) + 1 or len(self._text)
            if end - start > MAX_HEADER_BYTES:
                raise DamagedScanError("has an endless line of points: record or copy it again")
            line = self._text[start:end]
            self._position = end
            if not line.isspace():
                yield line

    @property
    def number(self) -> int:
        """The number in the file, from 1, of the line that was taken last."""
        return self._lines_before + 1 + self._text.count(b"\n", self._start, max(self._start, self._position - 1))
