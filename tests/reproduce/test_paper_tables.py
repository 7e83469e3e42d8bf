"""The paper's tables have an experiment wherever the paper has one of its own methods, and say what was not run."""

import dataclasses
from typing import get_args

import numpy as np
import pytest
from cmdiad.calibration.evaluation.outcomes import ClassOutcome, Row
from cmdiad.calibration.evaluation.paper import paper
from cmdiad.reproduce.choices import TableNumber
from cmdiad.reproduce.paper_tables import EYECANDIES, PAPER_PAIR, ExtractorPair, experiments_of, paper_table, value_of
from cmdiad.runtime.bundle.parameters import Threshold

EMBEDDED = ExtractorPair("embedded", "embedded")
OWN = ("Single bank", "Dual banks", "F2F", "F2I", "I2F", "L1", "L2", "Cosine", "DINO", "ViT", "PC")
NUMBERS = get_args(TableNumber)
ZERO = (np.array([0.0, 1.0]), np.array([0.0, 1.0]))


def outcome(class_name, i_auroc, milliseconds=500.0):
    threshold = Threshold(
        value=1.0,
        false_reject_rate=0.01,
        method="extrapolated",
        n_scans=5,
        rate_low=0.0,
        rate_high=0.1,
        scans_needed=99,
    )
    return ClassOutcome(
        name="",
        row=Row(class_name, "f2f", "pc", i_auroc, 0.5, None, None, 4),
        manifest=None,
        part_range=None,
        by_defect={},
        threshold=threshold,
        pixel_threshold=1.0,
        defects=np.array(["good", "crack"]),
        scores=np.array([0.0, 1.0]),
        names=["good/000", "crack/000"],
        refusals=[[], []],
        roc=ZERO,
        pro=None,
        milliseconds={"extract": 400.0, "total": milliseconds},
        bank_bytes=3_000_000,
        examples=[],
    )


def test_every_table_of_the_paper_can_be_asked_for():
    assert list(NUMBERS) == list(paper().tables)


@pytest.mark.parametrize("number", NUMBERS)
def test_every_method_of_the_papers_own_is_an_experiment(number):
    experiments = experiments_of(number, PAPER_PAIR, ["bagel"])
    printed = paper().tables[number]
    rows = {row for metric in printed.metrics.values() for row in metric if row.startswith(OWN)}
    assert {row for row, _ in experiments} == {row for row in rows if "Eyecandies" not in row}
    columns = {column for _, column in experiments}
    assert columns == {None} or columns == set(printed.columns)
    assert len(set(experiments.values())) == len(experiments)


def test_what_a_table_varies():
    ratios = [each.coreset_ratio for each in experiments_of("5", EMBEDDED, []).values()]
    assert ratios == [0.01, 0.02, 0.05, 0.1, 0.2]
    assert [each.metric for each in experiments_of("a4", EMBEDDED, []).values()] == ["l2", "l1", "cosine"]
    assert [each.is_trained for each in experiments_of("a2", EMBEDDED, []).values()] == [True, True, False, True]
    assert {each.main for each in experiments_of("3", EMBEDDED, []).values()} == {"rgb"}
    assert all(each.pair == EMBEDDED for each in experiments_of("2", EMBEDDED, []).values())


def test_table_4_varies_the_extractors_and_knows_eyecandies():
    pairs = {row: each.pair for (row, _), each in experiments_of("4", PAPER_PAIR, ["bagel"]).items()}
    assert len(pairs) == 4 and pairs["DINO ViT-B/8 + Point-BERT"] == ExtractorPair(
        "point-bert", "vit_base_patch8_224.dino"
    )
    assert {row for row, _ in experiments_of("4", PAPER_PAIR, EYECANDIES)} == {"DINO ViT-B/8 + Point-MAE, Eyecandies"}
    assert ("embedded + embedded", "MTFI, PC") in experiments_of("4", EMBEDDED, ["bagel"])


def test_ours_stand_below_the_papers_by_class():
    experiments = experiments_of("2", EMBEDDED, ["gland", "tire", "bagel"])
    f2f = experiments["F2F", None]
    found = {f2f: [outcome("gland", 0.25), outcome("tire", 0.5), outcome("bagel", 0.75)]}
    others = {each: "no weights: train" for each in experiments.values() if each != f2f}
    i_auroc, aupro = paper_table("2", experiments, found, others)
    assert i_auroc.headers == ["method", "", "bagel", "tire", "gland", "mean"]
    lines = {(row[0], row[1]): row[2:] for row in i_auroc.rows}
    assert lines["F2F", "paper"] == ["0.992", "0.893", "-", "0.938"]
    assert lines["F2F", "ours"] == ["0.750", "0.500", "0.250", "0.500"]
    assert lines["I2F", "ours"] == ["not run"] * 4
    assert ("3D-ST", "paper") in lines and ("3D-ST", "ours") not in lines
    assert "Not run: Single bank, PC; F2I; I2F: no weights: train." in aupro.note
    assert "mean over 3 classes" in aupro.note and "embedded + embedded" in aupro.note
    assert [row[2:] for row in aupro.rows if row[:2] == ["F2F", "ours"]] == [["-"] * 4]


def test_columns_may_be_experiments():
    experiments = experiments_of("5", EMBEDDED, [])
    found = {each: [outcome("a", each.coreset_ratio), outcome("b", 0.0)] for each in experiments.values()}
    i_auroc, _, seconds = paper_table("5", experiments, found, {})
    assert i_auroc.rows[1] == ["F2F", "ours", "0.005", "0.010", "0.025", "0.050", "0.100"]
    assert seconds.rows == [
        ["F2F", "paper", "1.020", "1.070", "1.350", "1.740", "2.900"],
        ["F2F", "ours", *["0.500"] * 5],
    ]


def test_a_table_of_which_nothing_was_run_says_so_everywhere():
    experiments = experiments_of("a3", PAPER_PAIR, ["bagel"])
    (dual,) = experiments.values()
    i_auroc, aupro = paper_table("a3", experiments, {}, {dual: "there is no checkpoint"})
    assert i_auroc.headers[2:] == paper().tables["a3"].columns
    assert set(i_auroc.rows[-1][2:]) == {"not run"} and "there is no checkpoint" in aupro.note


def test_time_and_memory_have_a_table_without_classes():
    experiments = experiments_of("a5", EMBEDDED, [])
    found = {each: [outcome("a", 0.5, 400.0), outcome("b", 0.5, 800.0)] for each in experiments.values()}
    seconds, memory = paper_table("a5", experiments, found, {})
    assert ["F2F, PC", "paper", "1.740"] in seconds.rows and ["F2F, PC", "ours", "0.600"] in seconds.rows
    assert memory.rows == [["Dual banks, RGB + PC", "ours", "3.000"], ["F2F, PC", "ours", "3.000"]]


def test_a_class_without_a_metric_leaves_the_mean_without_one():
    some = outcome("a", 0.5)
    whole = dataclasses.replace(some, row=Row("b", "f2f", "pc", 0.5, 0.5, 0.75, 0.5, 4))
    assert value_of([some, whole], "aupro", "b") == 0.75
    assert value_of([some, whole], "aupro", "mean") is None
    assert value_of([some, whole], "i_auroc", "c") is None
