"""A training's log for people: a CSV, a chart of loss and detection, and TensorBoard where it is asked for."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...runtime.bundle.parameters import Modality
from ...runtime.errors import UsageError
from ...runtime.reports.chart import Axis, Chart, Point, color, svg_file
from ...runtime.reports.table import csv_text
from .state import Epoch

LOG, CHART, TENSORBOARD = "training.csv", "training.svg", "tensorboard"
_WIDTH, _HEIGHT = 900, 290
# Up to so many points of a line are drawn as dots, too.
_MOST_DOTS = 50


def encode_log(log: Sequence[Epoch]) -> bytes:
    """The log as CSV; detection is empty where an epoch was not judged."""
    mains = _judged_mains(log)
    rows = [["epoch", "learning_rate", "loss", *(f"detection_{main}" for main in mains)]]
    for epoch in log:
        judged = [f"{epoch.detection[main]:.6f}" if main in epoch.detection else "" for main in mains]
        rows.append([str(epoch.epoch), f"{epoch.learning_rate:.8g}", f"{epoch.loss:.8g}", *judged])
    return csv_text(rows).encode()


def encode_chart(log: Sequence[Epoch]) -> bytes:
    """The log as SVG: the loss above, and the detection of the checkpoints below where they were judged."""
    losses = {"training": [(float(epoch.epoch), epoch.loss) for epoch in log]}
    charts = [_chart("loss", losses, len(log))]
    mains = _judged_mains(log)
    if mains:
        judged = [epoch for epoch in log if epoch.detection]
        lines = {f"main {main}": [(float(epoch.epoch), epoch.detection[main]) for epoch in judged] for main in mains}
        charts.append(_chart("detection on validation parts", lines, len(log)))
    return svg_file(charts).encode()


def _judged_mains(log: Sequence[Epoch]) -> list[Modality]:
    return sorted({main for epoch in log for main in epoch.detection})


def _chart(title: str, lines: dict[str, list[Point]], n_epochs: int) -> Chart:
    # A training that diverges ends in numbers that have no place in a chart.
    finite = {name: [point for point in points if math.isfinite(point[1])] for name, points in lines.items()}
    values = [value for points in finite.values() for _, value in points] or [0.0]
    x, y = Axis("epoch", 1, n_epochs, is_count=True), Axis(title, min(values), max(values))
    chart = Chart(title, x, y, _WIDTH, _HEIGHT)
    for index, (name, points) in enumerate(finite.items()):
        chart.line(points, color(index), name)
        for point in points if len(points) <= _MOST_DOTS else ():
            chart.dot(point, color(index))
    return chart


def require_tensorboard() -> None:
    """Stop before the work where TensorBoard is not installed.

    Raises:
        UsageError: it is not.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise UsageError("--tensorboard: TensorBoard is not installed: pip install 'cmdiad[tensorboard]'")


@contextmanager
def tensorboard_log(folder: Path | None) -> Iterator[Callable[[Epoch], None]]:
    """A function that writes an epoch for TensorBoard; one that does nothing where `folder` is None.

    A run that was killed and goes on writes some epochs twice, with the same values.
    """
    if folder is None:
        yield lambda _: None
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:

        def write(epoch: Epoch) -> None:
            writer.add_scalar("loss", epoch.loss, epoch.epoch)
            writer.add_scalar("learning_rate", epoch.learning_rate, epoch.epoch)
            for main, value in epoch.detection.items():
                writer.add_scalar(f"detection/{main}", value, epoch.epoch)
            writer.flush()

        yield write
