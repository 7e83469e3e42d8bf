"""The highest rate of random arrivals that holds a latency bound."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import cycle

import msgspec
import numpy as np

from ...progress import StepProgress
from .driver import Clock, Recording, SystemUnderTest, drive
from .scenarios import Plan, Scenario, poisson_arrivals
from .statistics import tail

ATTEMPTS = 6
_STEP = 0.85
_BISECTIONS = 30


def highest_rate(
    system: SystemUnderTest,
    scenario: Scenario,
    plan: Plan,
    service_s: Sequence[float],
    clock: Clock,
    stop: threading.Event,
    progress: StepProgress = lambda done, total: None,
) -> tuple[Scenario, Recording] | None:
    """Find the rate by simulation from measured service times, then measure it, and lower it until it holds.

    Args:
        system: what is measured; it is warm.
        scenario: server, with a bound and no rate.
        plan: how long each measurement takes.
        service_s: seconds that single parts took.
        clock, stop, progress: as in `drive`.

    Returns:
        The scenario with its rate, and its recording: every figure in it was measured. None where no rate holds the
        bound, because a part alone takes longer.
    """
    assert scenario.bound_s is not None
    rate = simulated_rate(service_s, scenario.bound_s, plan.samples, scenario.seed)
    if rate is None:
        return None
    for _ in range(ATTEMPTS):
        trial = msgspec.structs.replace(scenario, rate_hz=rate)
        recording = drive(system, trial, plan, clock, stop, progress)
        if recording.partial or tail(recording.latencies)[1] <= scenario.bound_s:
            break
        rate *= _STEP
    return trial, recording


def simulated_rate(service_s: Sequence[float], bound_s: float, count: int, seed: int) -> float | None:
    """The highest rate whose simulated tail holds the bound, by bisection; None where none does."""

    def holds(rate: float) -> bool:
        return tail(waiting_latencies(poisson_arrivals(rate, count, seed), service_s))[1] <= bound_s

    # Beyond its capacity the queue grows for ever, whatever a short run shows.
    high = 1 / float(np.mean(service_s))
    low = high / 1000
    if not holds(low):
        return None
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def waiting_latencies(due: Sequence[float], service_s: Sequence[float]) -> list[float]:
    """Latencies of arrivals at one server that takes them in order (Lindley's recursion).

    Example:
        >>> waiting_latencies([0.0, 1.0, 2.0], [1.5])
        [1.5, 2.0, 2.5]
    """
    latencies, free = [], 0.0
    for arrival, service in zip(due, cycle(service_s)):
        free = max(free, arrival) + service
        latencies.append(free - arrival)
    return latencies
