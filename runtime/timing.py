"""Wall-clock time by stage."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """One run of a stage.

    Attributes:
        stage: its name.
        begin: `time.perf_counter()` at its begin, seconds.
        seconds: how long it took.
        thread: the thread it ran on.
    """

    stage: str
    begin: float
    seconds: float
    thread: str


class StageTimes:
    """Seconds spent in each named stage of one inspection, in order of first use, and every run of a stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.spans: list[Span] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - begin
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds
            self.spans.append(Span(name, begin, seconds, threading.current_thread().name))

    def add_share(self, batch: StageTimes, parts: int) -> None:
        """Add one part's even share of what a batch of parts took; its spans are the whole batch's."""
        for name, seconds in batch.seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds / parts
        self.spans += batch.spans

    def without_spans(self) -> StageTimes:
        """The same seconds, for what has its spans elsewhere."""
        times = StageTimes()
        times.seconds = dict(self.seconds)
        return times
