"""A training's log for people: a CSV, a chart of loss and detection, and TensorBoard where it is asked for."""

from __future__ import annotations

import csv
import importlib.util
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ...runtime.errors import UsageError
from .state import Epoch

LOG, CHART, TENSORBOARD = "training.csv", "training.png", "tensorboard"
WIDTH, HEIGHT, MARGIN, GAP = 900, 640, 90, 60
INK, GRID = (40, 40, 40), (220, 220, 220)
COLORS = ((31, 119, 180), (214, 39, 40), (44, 160, 44))

Series = dict[str, list[tuple[int, float]]]


def encode_log(log: Sequence[Epoch]) -> bytes:
    """The log as CSV; detection is empty where an epoch was not judged."""
    mains = sorted({main for epoch in log for main in epoch.detection})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", "learning_rate", "loss", *(f"detection_{main}" for main in mains)])
    for epoch in log:
        judged = [f"{epoch.detection[main]:.6f}" if main in epoch.detection else "" for main in mains]
        writer.writerow([epoch.epoch, f"{epoch.learning_rate:.8g}", f"{epoch.loss:.8g}", *judged])
    return text.getvalue().encode()


def encode_chart(log: Sequence[Epoch]) -> bytes:
    """The log as a PNG: the loss above, and the detection of the checkpoints below where they were judged."""
    mains = sorted({main for epoch in log for main in epoch.detection})
    panels: list[tuple[str, Series]] = [("loss", {"training": [(each.epoch, each.loss) for each in log]})]
    if mains:
        judged = [epoch for epoch in log if epoch.detection]
        lines = {f"main {main}": [(each.epoch, each.detection[main]) for each in judged] for main in mains}
        panels.append(("detection on validation parts", lines))
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    height = (HEIGHT - GAP * (len(panels) + 1)) // len(panels)
    for number, (title, series) in enumerate(panels):
        top = GAP + number * (height + GAP)
        _draw_panel(ImageDraw.Draw(image), (MARGIN, top, WIDTH - 30, top + height), title, series, len(log))
    encoded = io.BytesIO()
    image.save(encoded, format="PNG")
    return encoded.getvalue()


def _draw_panel(
    draw: ImageDraw.ImageDraw, box_xyxy: tuple[int, int, int, int], title: str, series: Series, n_epochs: int
) -> None:
    left, top, right, bottom = box_xyxy
    values = [value for line in series.values() for _, value in line]
    low, high = min(values), max(values)
    span = (high - low) or max(abs(high), 1e-12)
    font = ImageFont.load_default(size=14)

    def place(epoch: int, value: float) -> tuple[float, float]:
        along = (epoch - 1) / max(n_epochs - 1, 1)
        return left + along * (right - left), bottom - (value - low) / span * (bottom - top)

    for step in range(5):
        value = low + step / 4 * span
        y = place(1, value)[1]
        draw.line([(left, y), (right, y)], GRID)
        draw.text((left - 8, y), f"{value:.4g}", INK, font, anchor="rm")
    for epoch in sorted({1, *(round(1 + step / 4 * (n_epochs - 1)) for step in range(5))}):
        draw.text((place(epoch, low)[0], bottom + 6), str(epoch), INK, font, anchor="mt")
    draw.rectangle(box_xyxy, outline=INK)
    draw.text((left, top - 8), title, INK, font, anchor="lb")
    for number, (name, line) in enumerate(series.items()):
        color = COLORS[number % len(COLORS)]
        places = [place(*point) for point in line]
        draw.line(places, color, 2)
        for x, y in places if len(places) <= 50 else ():
            draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=color)
        draw.text((right - 140 * (len(series) - number - 1), top - 8), name, color, font, anchor="rb")


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
