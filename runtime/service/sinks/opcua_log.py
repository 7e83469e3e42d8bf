"""What asyncua logs goes into the line's log, and not as plain text among its lines of JSON."""

from __future__ import annotations

import logging

_log = logging.getLogger("cmdiad.line")


class AsyncuaLog(logging.Handler):
    """Pass on what asyncua complains of.

    It takes a refused login for an error as grave as one of its own; only the latter come with a traceback.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        level = logging.WARNING if record.exc_info else logging.DEBUG
        _log.log(level, "asyncua: %s", record.getMessage(), exc_info=record.exc_info)


def tame_log() -> None:
    """Send the log of asyncua through `AsyncuaLog`, once."""
    logger = logging.getLogger("asyncua")
    if not any(isinstance(handler, AsyncuaLog) for handler in logger.handlers):
        logger.addHandler(AsyncuaLog(logging.WARNING))
        logger.propagate = False
