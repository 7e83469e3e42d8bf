"""A fit as one HTML page to look at and to send: what was measured, what is proposed, and what the proposal does."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...runtime.files.png import encode_png
from ...runtime.reports.chart import Chart
from ...runtime.reports.histogram import Bars, histogram
from ...runtime.reports.page import render_page
from ...runtime.reports.table import MISSING, Table
from ...runtime.sensor.sensor_writing import sensor_toml
from .fit_pictures import DrawnScan
from .proposed_sensor import SensorFit
from .scan_measures import SensorMeasure

_TEMPLATE = Path(__file__).with_name("sensor_fit.html")
# The histogram shows heights up to so many times what is removed.
_SHOWN_REACH = 6.0
_GAP = 6


def fit_page(fit: SensorFit, drawn: Sequence[DrawnScan]) -> str:
    """The whole page.

    Args:
        fit: what was measured and proposed.
        drawn: some of its scans.
    """
    return render_page(
        _TEMPLATE,
        title=f"Sensor {fit.description.identity.name}",
        n_scans=len(fit.names),
        tiles=measured_tiles(fit.measures),
        warnings=fit.warnings,
        charts=[chart for chart in [_heights_chart(fit, drawn)] if chart is not None],
        pictures=[(scan.name, _picture(scan)) for scan in drawn],
        measures=measures_table(fit),
        toml=sensor_toml(fit.description, fit.notes),
    )


def measured_tiles(measures: Sequence[SensorMeasure]) -> list[tuple[str, str, str]]:
    """What was measured at a glance: what, its median, and from where to where it goes."""
    tables = [measure.table for measure in measures if measure.table is not None]
    tiles = [
        _tile("pixel pitch", [1e3 * measure.pitch_m for measure in measures], "mm"),
        _tile("noise of the table", [1e3 * table.noise_m for table in tables], "mm"),
        _tile("not measured", [100 * measure.missing_share for measure in measures], "%"),
        _tile("table's tilt", [table.tilt_deg for table in tables], "°"),
        _tile("table from the origin", [1e3 * table.distance_m for table in tables], "mm"),
    ]
    return [tile for tile in tiles if tile is not None]


def measures_table(fit: SensorFit) -> Table:
    """What each scan says, and what the proposal makes of it."""
    rows = []
    for name, measure, outcome in zip(fit.names, fit.measures, fit.outcomes, strict=True):
        table, view = measure.table, outcome.view
        on_table = (
            [MISSING] * 3
            if table is None
            else [f"{1e3 * table.noise_m:#.3g}", f"{table.share:.0%}", f"{table.tilt_deg:.1f}"]
        )
        diameter = None if view is None else view.diameter_m
        part = outcome.error if view is None else MISSING if diameter is None else f"{1e3 * diameter:.1f}"
        rows.append([name, f"{1e3 * measure.pitch_m:#.3g}", f"{measure.missing_share:.1%}", *on_table, part])
    headers = ["scan", "pitch mm", "not measured", "noise mm", "on the table", "tilt °", "part mm"]
    note = "The part's length is the largest distance between two of its points."
    return Table("Scan by scan", headers, rows, note=note)


def _tile(name: str, values: Sequence[float], unit: str) -> tuple[str, str, str] | None:
    if not values:
        return None
    return name, f"{np.median(values):.3g} {unit}", f"{min(values):.3g} to {max(values):.3g} {unit}"


def _heights_chart(fit: SensorFit, drawn: Sequence[DrawnScan]) -> Chart | None:
    """How many points lie how high over the table, about what is removed; None without a table."""
    reach = 1e3 * fit.description.preprocessing.plane_distance_m
    heights = 1e3 * np.concatenate([scan.heights_m for scan in drawn])
    shown = heights[np.abs(heights) <= _SHOWN_REACH * reach]
    if not len(shown):
        return None
    kinds = [Bars("removed", "c0", shown[shown <= reach]), Bars("kept", "c4", shown[shown > reach])]
    return histogram("Heights of points above the table", "mm", "points", kinds, reach)


def _picture(scan: DrawnScan) -> str:
    gap = np.full((scan.panels[0].shape[0], _GAP, 3), 24, np.uint8)
    first, second, third = scan.panels
    picture = np.concatenate([first, gap, second, gap, third], axis=1)
    return "data:image/png;base64," + base64.b64encode(encode_png(picture)).decode()
