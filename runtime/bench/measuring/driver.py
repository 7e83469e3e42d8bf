"""Our own load generator: hands parts to a system under test as a scenario says, and keeps every time.

One thread issues and works: an arrival that finds the system busy waits its turn, as on a line, and its latency counts
from its arrival. Nothing is dropped. Offline all parts are there, and the system takes them as fast as it can.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, islice
from typing import Protocol

import msgspec

from ...progress import StepProgress
from .scenarios import Plan, Scenario, arrivals


class SystemUnderTest(Protocol):
    """Whatever can be measured: parts go in by number, and come out inspected."""

    @property
    def n_scans(self) -> int:
        """How many different parts it has; numbers run from 0."""
        ...

    @property
    def batch(self) -> int:
        """How many parts it takes at once, at most."""
        ...

    def process(self, numbers: Sequence[int]) -> dict[str, float]:
        """Inspect parts and give the seconds of each stage, together."""
        ...

    def stream(self, numbers: Iterable[int]) -> Iterator[dict[str, float]]:
        """Inspect parts whose stages overlap, in order, and give the seconds of each stage of each."""
        ...


class Clock(Protocol):
    """Time, and waiting for it."""

    def now(self) -> float:
        """Seconds since any fixed moment."""
        ...

    def wait_until(self, moment: float) -> None:
        """Return at `moment`, or when the run is to stop."""
        ...


class WallClock:
    """The processor's monotonic clock; a set `stop` ends a wait."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def now(self) -> float:
        """See `Clock`."""
        return time.perf_counter()

    def wait_until(self, moment: float) -> None:
        """See `Clock`."""
        self._stop.wait(max(0.0, moment - time.perf_counter()))


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call of the system: its parts' arrivals, its begin and end in seconds from the start, its stages.

    Attributes:
        first: the number of its first part in the run; part i is scan i modulo the number of scans.
        parts: how many parts it inspected.
        due_s: the arrivals it answers: one a part, or one for all parts of a multi-stream query. Offline a part counts
            from the result before it.
        stages_s: seconds by stage, all parts together.
    """

    first: int
    parts: int
    due_s: list[float]
    begin_s: float
    end_s: float
    stages_s: dict[str, float]

    @property
    def latencies(self) -> list[float]:
        """Seconds from each arrival to the result."""
        return [self.end_s - due for due in self.due_s]


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """All that was measured in one run.

    Attributes:
        calls: in order.
        yardstick_s: (moment, seconds) of a fixed piece of work that was timed between calls; see `yardstick`.
        partial: whether the run was stopped before its plan was fulfilled.
    """

    calls: list[Call]
    yardstick_s: list[tuple[float, float]] = []
    partial: bool = False

    @property
    def latencies(self) -> list[float]:
        """Every latency, in order."""
        return [latency for call in self.calls for latency in call.latencies]


def drive(
    system: SystemUnderTest,
    scenario: Scenario,
    plan: Plan,
    clock: Clock,
    stop: threading.Event,
    progress: StepProgress = lambda done, total: None,
    between: Callable[[], float] | None = None,
    between_s: float = 0.05,
) -> Recording:
    """Run one scenario.

    Args:
        system: what is measured; it is warm.
        scenario: when parts arrive.
        plan: how long.
        clock: the time.
        stop: set from outside to end early; what was measured until then is returned.
        progress: called with (done, all) latencies.
        between: closed scenarios: timed work to do at least every `between_s` seconds, outside every latency; it
            returns its seconds.
    """
    if scenario.is_open:
        return _drive_open(system, list(arrivals(scenario, plan)), clock, stop, progress)
    if scenario.name == "offline":
        return _drive_offline(system, plan, clock, stop, progress)
    return _drive_closed(system, scenario, plan, clock, stop, progress, between, between_s)


def _drive_closed(
    system: SystemUnderTest,
    scenario: Scenario,
    plan: Plan,
    clock: Clock,
    stop: threading.Event,
    progress: StepProgress,
    between: Callable[[], float] | None,
    between_s: float,
) -> Recording:
    parts = scenario.parts_a_query
    calls: list[Call] = []
    yardstick: list[tuple[float, float]] = []
    start, issued, apart = clock.now(), 0, -between_s
    while not stop.is_set() and (clock.now() - start < plan.seconds or len(calls) < plan.samples):
        if between is not None and clock.now() - start - apart >= between_s:
            apart = clock.now() - start
            yardstick.append((apart, between()))
        begin = clock.now() - start
        stages = _process(system, issued, parts)
        end = clock.now() - start
        calls.append(Call(first=issued, parts=parts, due_s=[begin], begin_s=begin, end_s=end, stages_s=stages))
        issued += parts
        progress(min(len(calls), plan.samples), plan.samples)
    return Recording(calls=calls, yardstick_s=yardstick, partial=stop.is_set())


def _drive_offline(
    system: SystemUnderTest, plan: Plan, clock: Clock, stop: threading.Event, progress: StepProgress
) -> Recording:
    """All that was given in is waited for, so that no work is left out of the time."""
    calls: list[Call] = []
    start, before = clock.now(), 0.0

    def numbers() -> Iterator[int]:
        for issued in count():
            if stop.is_set() or (issued >= plan.samples and clock.now() - start >= plan.seconds):
                return
            yield issued % system.n_scans

    for stages in system.stream(numbers()):
        end = clock.now() - start
        calls.append(Call(first=len(calls), parts=1, due_s=[before], begin_s=before, end_s=end, stages_s=stages))
        before = end
        progress(min(len(calls), plan.samples), plan.samples)
    return Recording(calls=calls, partial=stop.is_set())


def _drive_open(
    system: SystemUnderTest, due: list[float], clock: Clock, stop: threading.Event, progress: StepProgress
) -> Recording:
    calls: list[Call] = []
    start, issued = clock.now(), 0
    while issued < len(due):
        clock.wait_until(start + due[issued])
        if stop.is_set():
            break
        begin = clock.now() - start
        # Whatever has arrived by now goes together, as far as a batch holds it.
        waiting = sum(1 for moment in islice(due, issued, issued + system.batch) if moment <= begin)
        taken = max(1, waiting)
        stages = _process(system, issued, taken)
        end = clock.now() - start
        arrived = due[issued : issued + taken]
        calls.append(Call(first=issued, parts=taken, due_s=arrived, begin_s=begin, end_s=end, stages_s=stages))
        issued += taken
        progress(issued, len(due))
    return Recording(calls=calls, partial=issued < len(due))


def _process(system: SystemUnderTest, first: int, parts: int) -> dict[str, float]:
    return system.process([number % system.n_scans for number in range(first, first + parts)])
