"""Saved states that no monitor writes: refused when they are read, not when the next part comes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from cmdiad.runtime.errors import UsageError
from cmdiad.runtime.health.drift_monitor import DriftMonitor
from cmdiad.runtime.health.measures import SENSOR_MEASURES

MEASURE = SENSOR_MEASURES[0]


def saved() -> dict[str, Any]:
    monitor = DriftMonitor("d", None)
    for number in range(5):
        monitor.update(dict.fromkeys(SENSOR_MEASURES, number / 3), number / 2, number == 3)
    state: dict[str, Any] = json.loads(monitor.state())
    return state


def first(state: dict[str, Any]) -> dict[str, Any]:
    measure: dict[str, Any] = state["measures"][MEASURE]
    return measure


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "no direction": lambda state: first(state)["evidence"].clear(),
    "one direction": lambda state: first(state)["evidence"].pop("falls"),
    "too few bets": lambda state: first(state)["evidence"]["rises"]["sums"].pop(),
    "no bets": lambda state: first(state)["evidence"]["rises"]["sums"].clear(),
    "negative evidence": lambda state: first(state)["evidence"]["rises"].update(sums=[-1.0] * 4),
    "endless evidence": lambda state: first(state)["evidence"]["rises"].update(change=1e300),
    "reference of another kind": lambda state: first(state).update(reference={"type": "ShareReference"}),
    "negative count": lambda state: first(state)["moments"].update(n=-3),
    "huge count": lambda state: first(state)["moments"].update(n=10**300),
    "huge mean": lambda state: first(state)["moments"].update(mean=1e308),
    "huge value": lambda state: first(state).update(value=-1e308),
    "huge parts": lambda state: state.update(parts=10**300),
    "negative parts": lambda state: state.update(parts=-1),
    "huge share": lambda state: state["measures"]["reject_share"]["reference"].update(total=10**400),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_state_that_no_monitor_writes_is_refused_when_it_is_read(change: str) -> None:
    state = saved()
    CHANGES[change](state)
    with pytest.raises(UsageError, match="remove it to start again"):
        DriftMonitor.restored(json.dumps(state).encode(), "d", None)


@pytest.mark.parametrize("value", [1e300, -1e300, float("inf"), float("nan")])
def test_after_a_value_beyond_all_measure_the_state_can_still_be_read(value: float) -> None:
    """Its square would be infinite, which JSON does not hold."""
    monitor = DriftMonitor("d", None)
    monitor.update(dict.fromkeys(SENSOR_MEASURES, value), value, is_defect=True)
    assert DriftMonitor.restored(monitor.state(), "d", None).parts == 1


def test_the_state_as_it_was_written_is_read() -> None:
    assert DriftMonitor.restored(json.dumps(saved()).encode(), "d", None).parts == 5
