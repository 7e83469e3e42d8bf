"""Scenarios in MLPerf Inference's terms, and the line's own: when parts arrive, and what is asked of them.

single-stream   one part at a time, the next when it is done: its latency
multi-stream    several parts at once, the next when all are done: the latency of the whole query
server          parts arrive at random (Poisson) at a rate: the time from a part's arrival to its result
offline         all parts are there: how many a second
takt            a part every X ms: missed deadlines
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import msgspec
import numpy as np

from ...errors import UsageError

Name = Literal["single-stream", "multi-stream", "server", "offline", "takt"]
NAMES: tuple[Name, ...] = ("single-stream", "multi-stream", "server", "offline", "takt")
DEFAULT: tuple[Name, ...] = ("single-stream", "offline")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How long to measure: at least this many seconds and at least this many latencies."""

    seconds: float
    samples: int


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario with its parameters.

    Attributes:
        name: see the module.
        parts_a_query: multi-stream: parts that arrive together.
        rate_hz: server: parts a second; None: the highest rate that holds the bound is searched for.
        takt_s: takt: seconds between two parts.
        bound_s: server: the latency to hold; takt: the deadline of a part after its arrival.
        seed: of the random arrivals.
    """

    name: Name
    parts_a_query: int = 1
    rate_hz: float | None = None
    takt_s: float | None = None
    bound_s: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.name == "server" and self.rate_hz is None and self.bound_s is None:
            raise UsageError(
                "the server scenario needs --rate, or --latency to search for the highest rate that holds it"
            )
        if self.name == "takt" and (self.takt_s is None or self.bound_s is None):
            raise UsageError("the takt scenario needs --takt, such as --takt 800ms")

    @property
    def is_open(self) -> bool:
        """Whether parts arrive on their own, ready or not."""
        return self.name in ("server", "takt")


def arrivals(scenario: Scenario, plan: Plan) -> Iterator[float]:
    """When parts arrive, in seconds from the start: takt every `takt_s`, server at random at `rate_hz`."""
    if scenario.name == "takt":
        assert scenario.takt_s is not None
        count = max(plan.samples, math.ceil(plan.seconds / scenario.takt_s))
        yield from (number * scenario.takt_s for number in range(count))
        return
    assert scenario.rate_hz is not None
    count = max(plan.samples, math.ceil(plan.seconds * scenario.rate_hz))
    yield from poisson_arrivals(scenario.rate_hz, count, scenario.seed)


def poisson_arrivals(rate_hz: float, count: int, seed: int) -> list[float]:
    """`count` arrival times of a Poisson process; another rate scales the same draw."""
    gaps = np.random.default_rng(seed).exponential(size=count)
    times: list[float] = (np.cumsum(gaps) / rate_hz).tolist()
    return times


def chosen(
    names: list[str], takt_s: float | None, latency_s: float | None, rate_hz: float | None, streams: int, seed: int
) -> list[Scenario]:
    """The scenarios that a user asked for; --takt adds its own.

    Raises:
        UsageError: an unknown name, or a scenario without the parameter it needs.
    """
    wanted = list(NAMES if names == ["all"] else dict.fromkeys(names or DEFAULT))
    if takt_s is not None and "takt" not in wanted:
        wanted.append("takt")
    deadline_s = takt_s if latency_s is None else latency_s
    scenarios = []
    for name in wanted:
        if name not in NAMES:
            raise UsageError(f"--scenario {name}: choose from {', '.join(NAMES)}")
        scenarios.append(
            Scenario(
                name=name,
                parts_a_query=streams if name == "multi-stream" else 1,
                rate_hz=rate_hz if name == "server" else None,
                takt_s=takt_s if name == "takt" else None,
                bound_s={"server": latency_s, "takt": deadline_s}.get(name),
                seed=seed,
            )
        )
    return scenarios
