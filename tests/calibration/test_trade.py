"""The trade counts what each threshold would do, and its chart steps from one to the next."""

from __future__ import annotations

import numpy as np
import pytest
from cmdiad.calibration.trade import Traded, TradePoint, drawn_trade, stairs, trade_points
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=30))
def test_the_trade_counts_what_each_threshold_would_do(parts: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in parts], float)
    defective = np.array([is_defective for _, is_defective in parts])
    points = trade_points(scores, defective)
    assert points[0] == TradePoint(None, int((~defective).sum()), 0)
    assert points[-1].rejected == 0 and points[-1].missed == int(defective.sum())
    for point in points[1:]:
        assert point.threshold is not None
        assert point.rejected == sum(score > point.threshold and not bad for score, bad in parts)
        assert point.missed == sum(score <= point.threshold and bad for score, bad in parts)


def test_the_shares_are_those_of_the_counts() -> None:
    traded = Traded("", np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, False, True, True]), 3.0)
    assert traded.shares() == [(1.0, 0.0), (0.5, 0.0), (0.0, 0.0), (0.0, 0.5), (0.0, 1.0)]
    assert traded.calibrated() == (0.0, 0.5)


def test_the_line_has_the_corners_of_the_steps_up_to_where_it_is_shown() -> None:
    assert stairs([(1.0, 0.0), (0.25, 0.0), (0.25, 0.5), (0.0, 0.5), (0.0, 1.0)], 0.5) == [
        (0.0, 1.0),
        (0.0, 0.5),
        (0.25, 0.5),
        (0.25, 0.0),
        (0.5, 0.0),
    ]


@pytest.mark.parametrize("is_defective", [True, False])
def test_there_is_nothing_to_draw_of_one_kind_alone(is_defective: bool) -> None:
    assert drawn_trade("", [Traded("", np.array([1.0, 2.0]), np.array([is_defective] * 2), 1.0)]) is None
