"""A run tells which checkpoint it ships, and whether its learning rate ever reached its value."""

import msgspec
import pytest
from cmdiad.training.runs.record import Decisions, Selection, read_run
from cmdiad.training.runs.summary import describe_run, doubts_of


@pytest.fixture
def run(trained_run):
    return read_run(trained_run)[1]


def test_the_record_holds_what_was_decided(run):
    assert run.decisions.plane == "always" and "5 of 5 scans show a plane" in run.decisions.reason
    assert run.decisions.windows == {} and run.decisions.warnings == []
    assert run.preprocessing.plane == "auto" and run.final_learning_rate == pytest.approx(run.learning_rate * 3 / 10)


def test_directions_are_told_one_by_one(run):
    selection = Selection(criterion="by detection", epochs={"pc": 5, "rgb": 10}, detection={"pc": 0.9, "rgb": 0.75})
    decisions = Decisions(plane="never", reason="none shows one", windows={"a": 300, "b": 400})
    changed = msgspec.structs.replace(run, selection=selection, decisions=decisions, epochs=12)
    assert describe_run(changed) == [
        "plane: never (none shows one)",
        "window of a: 300 pixels around the part",
        "window of b: 400 pixels around the part",
        "weights shipped: main pc epoch 5, detection 0.900; main rgb epoch 10, detection 0.750, of 12 epochs "
        "(by detection)",
    ]


def test_one_direction_and_none(run):
    one = Selection(criterion="by detection", epochs={"rgb": 5}, detection={"rgb": 0.75})
    changed = msgspec.structs.replace(run, selection=one, decisions=None, epochs=12)
    assert describe_run(changed) == ["weights shipped: epoch 5 of 12, detection 0.750 (by detection)"]
    changed = msgspec.structs.replace(changed, selection=Selection(criterion="last epoch"))
    assert describe_run(changed) == ["weights shipped: epoch 12 of 12 (last epoch)"]


@pytest.mark.parametrize(("last", "doubted"), [(4.5e-4, True), (5e-4, False), (None, False)])
def test_a_rate_that_was_never_reached_is_doubted(run, last, doubted):
    changed = msgspec.structs.replace(run, learning_rate=5e-4, final_learning_rate=last, epochs=9)
    doubts = doubts_of(changed)
    assert len(doubts) == doubted and all("9 epochs are fewer" in doubt and "--epochs" in doubt for doubt in doubts)
