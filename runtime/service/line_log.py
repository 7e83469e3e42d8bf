"""The line's log: JSON Lines, on standard error or in a file that is rotated before it grows too large."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..files.json_encoding import encode_json
from .line_file import LogTable, placed

LOGGER = "cmdiad.line"
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """A log record as one line of JSON: when, how grave, what, and whatever was given with it."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _OWN}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return encode_json(line).decode()


def start_log(table: LogTable, base: Path) -> logging.Handler:
    """Send the line's log where the line file says.

    Raises:
        OutputError: the file cannot be written.
    """
    handler: logging.Handler
    if table.file is None:
        handler = logging.StreamHandler(sys.stderr)
    else:
        path = placed(base, table.file)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handler = RotatingFileHandler(path, maxBytes=int(table.max_mb * 1e6), backupCount=table.backups)
        except OSError as cause:
            raise OutputError(f"{path}: the log cannot be written: {cause.strerror or cause}") from cause
    handler.setFormatter(JsonLines())
    logger = logging.getLogger(LOGGER)
    logger.setLevel(table.level.upper())
    logger.addHandler(handler)
    logger.propagate = False
    return handler


def end_log(handler: logging.Handler) -> None:
    """Close what `start_log` opened."""
    logger = logging.getLogger(LOGGER)
    logger.removeHandler(handler)
    logger.propagate = True
    handler.close()
