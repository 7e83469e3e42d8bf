"""Results go to a sink in their order, from the journal: one that is down misses none, and stops no inspection."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..errors import CmdiadError
from .journal import Journal
from .sinks.sink import Sink

_AT_ONCE = 64
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 60.0
STATUS_SECONDS = 5.0

_log = logging.getLogger("cmdiad.line")


class Delivery:
    """One sink and the thread that delivers to it.

    Attributes:
        sink: whom it delivers to.
        problem: why the sink takes nothing now; None: it does.
        tries: how often in a row it failed.
        is_open: whether the sink is connected, or listens.
    """

    def __init__(self, sink: Sink, journal: Journal, status: Callable[[], dict[str, Any]]) -> None:
        """A delivery that rests until it is started; `status` says how the line is."""
        self.sink, self.tries = sink, 0
        self.problem: str | None = None
        self._journal, self._status = journal, status
        self._wake, self._stop = threading.Event(), threading.Event()
        self.is_open, self._told_at = False, -STATUS_SECONDS
        self._thread = threading.Thread(target=self._run, name=f"sink {sink.name}", daemon=True)

    def start(self) -> None:
        """Deliver what waits, and from now on whatever comes."""
        self._thread.start()

    def wake(self) -> None:
        """There is something new."""
        self._wake.set()

    def stop(self, patience_seconds: float) -> None:
        """Deliver what can be delivered within some seconds, then let go; the rest waits in the journal."""
        deadline = time.monotonic() + patience_seconds
        while time.monotonic() < deadline and self.problem is None and self._journal.count_undelivered(self.sink.name):
            time.sleep(0.02)
        self._stop.set()
        self._wake.set()
        self._thread.join(patience_seconds)

    def as_json(self) -> dict[str, Any]:
        """One object of `/v1/status`."""
        return {
            "name": self.sink.name,
            "waiting": self._journal.count_undelivered(self.sink.name),
            "problem": self.problem,
            "tries": self.tries,
            "passed_over": self.sink.passed_over,
        }

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            try:
                self._deliver_all()
            except Exception as error:
                self._fail(error)
                continue
            self._wake.wait(STATUS_SECONDS)
        with suppress(Exception):
            self.sink.tell(self._status())
        with suppress(Exception):
            self.sink.close()

    def _deliver_all(self) -> None:
        if not self.is_open:
            self.sink.open()
            self.is_open = True
        while not self._stop.is_set():
            records = self._journal.undelivered(self.sink.name, _AT_ONCE)
            for record in records:
                self.sink.deliver(record)
                self._journal.delivered(self.sink.name, [record.number])
            if len(records) < _AT_ONCE:
                break
        # Before the sink hears how the line is: it is no problem of the line's any more.
        was_down, self.problem = self.problem is not None, None
        if time.monotonic() - self._told_at >= STATUS_SECONDS:
            self.sink.tell(self._status())
            self._told_at = time.monotonic()
        if was_down:
            _log.info("sink %s accepts results again", self.sink.name, extra={"sink": self.sink.name})
        self.tries = 0

    def _fail(self, error: Exception) -> None:
        words = str(error) if isinstance(error, CmdiadError) else f"{type(error).__name__}: {error}"
        self.problem, self.tries = words, self.tries + 1
        if self.tries == 1:
            _log.warning("sink %s: %s: results wait in the journal", self.sink.name, self.problem)
        with suppress(Exception):
            self.sink.close()
        self.is_open = False
        self._stop.wait(min(_FIRST_PAUSE_SECONDS * 2 ** min(self.tries - 1, 20), _LONGEST_PAUSE_SECONDS))
