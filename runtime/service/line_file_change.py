"""Whether the file that a running line was started with still says the same: it is read once."""

from __future__ import annotations

import logging
from pathlib import Path

_log = logging.getLogger("cmdiad.line")


class LineFileChange:
    """Looks at a line file again.

    Attributes:
        problem: what to do, in words, since the file is another one or gone; empty while it is as it was.
    """

    def __init__(self, path: Path | None) -> None:
        """Remember what a file says that was just read; None: the line was told by options."""
        self._path, self._begun, self.problem = path, _content(path), ""

    def look(self) -> None:
        """Compare; a change is logged once."""
        now = _content(self._path)
        before, self.problem = self.problem, ""
        if now != self._begun:
            how = "is gone" if now is None else "has changed"
            self.problem = (
                f"{self._path} {how} since the line started, which goes on as it began: check it with "
                "`cmdiad-rt serve --check`, and restart the line to use it"
            )
        if self.problem and self.problem != before:
            _log.warning("%s", self.problem)


def _content(path: Path | None) -> bytes | None:
    try:
        return None if path is None else path.read_bytes()
    except OSError:
        return None
