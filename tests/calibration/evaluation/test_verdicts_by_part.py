"""Every test part has a verdict, the worst ones first; the trade counts what each threshold would do."""

from __future__ import annotations

import csv
import dataclasses
import io
from types import SimpleNamespace

import numpy as np
from cmdiad.calibration.evaluation.outcomes import ClassOutcome, Evaluation, Row
from cmdiad.calibration.evaluation.verdicts_by_part import (
    judged_parts,
    parts_as_csv,
    parts_table,
    trade_chart,
    trade_object,
    worst_first,
)
from cmdiad.calibration.trade import TradePoint

NAMES = ["crack/000", "crack/001", "crack/002", "good/000", "good/001", "good/002"]


def outcome(scores: tuple[float, ...] = (0.9, 0.2, 0.4, 0.1, 0.7, 0.45), threshold: float = 0.5) -> ClassOutcome:
    """Three cracked parts and three good ones."""
    return ClassOutcome(
        name="F2F, PC",
        row=Row("lid", "f2f", "pc", 0.5, None, None, None, 6),
        manifest=None,  # type: ignore[arg-type]
        part_range=None,  # type: ignore[arg-type]
        by_defect={},
        threshold=SimpleNamespace(value=threshold),  # type: ignore[arg-type]
        pixel_threshold=1.0,
        defects=np.array(["crack"] * 3 + ["good"] * 3),
        scores=np.array(scores),
        names=NAMES,
        refusals=[[], [], [], [], [], ["it is 9 mm across", "it is cut off"]],
        roc=None,
        pro=None,
        milliseconds={},
        bank_bytes=0,
        examples=[],
    )


def test_misses_come_first_then_false_alarms_the_farthest_from_the_threshold_first() -> None:
    ordered = worst_first(judged_parts(outcome()))
    assert [(part.name, part.verdict) for part in ordered] == [
        ("crack/001", "miss"),
        ("crack/002", "miss"),
        ("good/001", "false alarm"),
        ("crack/000", "hit"),
        ("good/002", "pass"),
        ("good/000", "pass"),
    ]
    table = parts_table(outcome())
    assert table.rows[0] == ["crack/001", "miss", "0.2", "40%", "would inspect it"]
    assert table.rows[4][-1] == "it is 9 mm across; it is cut off"


def test_a_part_at_the_threshold_is_not_rejected() -> None:
    (first, *_) = judged_parts(outcome(scores=(0.5, 1, 1, 0, 0, 0)))
    assert (first.verdict, first.is_defect) == ("miss", False)


def test_the_csv_has_every_part_in_the_datasets_order() -> None:
    rows = list(csv.DictReader(io.StringIO(parts_as_csv(Evaluation([outcome(), outcome()])))))
    assert [row["part"] for row in rows] == NAMES * 2
    assert (rows[0]["is_defect"], rows[0]["verdict"], float(rows[0]["score"])) == ("true", "hit", 0.9)
    assert (rows[5]["is_defect"], rows[5]["refusal"]) == ("false", "it is 9 mm across; it is cut off")


def test_the_calibrated_point_of_json_and_chart_is_that_of_the_verdicts() -> None:
    told = trade_object(outcome())
    assert told["calibrated"] == TradePoint(0.5, 1, 2) and (told["n_good"], told["n_defective"]) == (3, 3)
    chart = trade_chart([outcome()])
    assert chart is not None and "calibrated" in chart.svg()


def test_there_is_no_trade_to_draw_without_good_parts() -> None:
    bad = dataclasses.replace(outcome(), defects=np.array(["crack"] * 6))
    assert trade_chart([outcome(), bad]) is None
