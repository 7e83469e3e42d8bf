"""A training's log as a table, a chart, and for TensorBoard."""

import csv
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from cmdiad.training.runs.curves import encode_chart, encode_log, tensorboard_log
from cmdiad.training.runs.state import Epoch

LOG = [
    Epoch(epoch=1, learning_rate=5e-5, loss=30.0),
    Epoch(epoch=2, learning_rate=1e-4, loss=20.0, detection={"pc": 0.75, "rgb": 0.5}),
    Epoch(epoch=3, learning_rate=1.5e-4, loss=12.5, detection={"pc": 0.8125, "rgb": 0.625}),
]


def test_the_table_has_a_row_an_epoch():
    rows = list(csv.DictReader(io.StringIO(encode_log(LOG).decode())))
    assert [float(row["loss"]) for row in rows] == [30.0, 20.0, 12.5]
    assert [row["detection_pc"] for row in rows] == ["", "0.750000", "0.812500"]
    assert encode_log(LOG[:1]).decode().splitlines()[0] == "epoch,learning_rate,loss"


@pytest.mark.parametrize("log", [LOG, LOG[:1], [LOG[1]] * 2], ids=["judged", "one epoch", "constant"])
def test_the_chart_is_a_picture_of_both_curves(log):
    drawing = ElementTree.fromstring(encode_chart(log))
    texts = [text.text for text in drawing.findall(".//{*}text")]
    lines = drawing.findall(".//{*}polyline")
    judged = [epoch for epoch in log if epoch.detection]
    assert ("loss" in texts) and ("detection on validation parts" in texts) == bool(judged)
    assert [len(line.get("points").split()) for line in lines] == [len(log)] + 2 * bool(judged) * [len(judged)]
    colors = {line.get("class") for line in lines}
    assert colors == ({"line c0", "line c1"} if judged else {"line c0"})
    assert len(drawing.findall(".//{*}circle")) == len(log) + 2 * len(judged)


def test_a_long_log_is_drawn_without_dots():
    log = [Epoch(epoch=number, learning_rate=5e-4, loss=1 / number) for number in range(1, 101)]
    assert b"<circle" not in encode_chart(log) and b"nan" not in encode_chart(log)


@pytest.mark.parametrize("losses", [(1.0, float("nan")), (float("nan"), float("inf")), (float("inf"), 1.0)])
def test_a_training_that_diverges_is_drawn_as_far_as_it_has_numbers(losses):
    log = [Epoch(epoch=number, learning_rate=5e-4, loss=loss) for number, loss in enumerate(losses, 1)]
    drawing = ElementTree.fromstring(encode_chart(log))
    assert len(drawing.findall(".//{*}circle")) == np.isfinite(losses).sum()
    (line,) = drawing.findall(".//{*}polyline")
    assert not {"nan", "inf"} & set(re.split(r"[ ,]", line.get("points")))


def test_events_are_written_where_tensorboard_is_installed(tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with tensorboard_log(tmp_path) as write:
        for epoch in LOG:
            write(epoch)
    events = accumulators.EventAccumulator(str(tmp_path))
    events.Reload()
    assert [event.value for event in events.Scalars("loss")] == [30.0, 20.0, 12.5]
    assert [event.step for event in events.Scalars("detection/pc")] == [2, 3]
