"""The sums of a plant: what is asked, times what a part takes."""

from pathlib import Path

import numpy as np
import pytest
from cmdiad.benchmarks.studies.plant import (
    GPU_MS,
    PartCost,
    Plant,
    bank_device_bytes,
    bank_host_bytes,
    digits,
    figures_table,
    parsed_size,
    part_figures,
    plant_figures,
    scan_bytes,
)
from cmdiad.calibration.line_graph.half_screen import screened_bank
from cmdiad.runtime.banks.bank import build_bank

COST = PartCost(result_bytes=2e3, heatmap_bytes=100e3, map_bytes=300e3, journal_bytes=3e3, processor_seconds=0.5)
PLANT = Plant(lines=40, takt_seconds=2.0, width=800, height=800)


def figures(plant=PLANT, gpu_ms=10.0):
    return {row.what + " " + row.unit: row for row in plant_figures(plant, COST, gpu_ms)}


def test_forty_lines_take_forty_times_what_one_takes():
    for row in figures().values():
        assert row.plant is None or row.plant == pytest.approx(40 * row.line)
    assert figures()["parts 1/s"].plant == 20
    assert figures()["parts 1/day"].line == 43_200


def test_the_network_carries_raw_scans():
    assert scan_bytes(800, 800) == np.zeros((800, 800, 3), np.float32).nbytes
    assert figures()["network, raw scans Mbit/s"].line == pytest.approx(7.68 * 8 / 2)


def test_a_shorter_day_has_fewer_parts_at_the_same_rate():
    short = figures(Plant(40, 2.0, 800, 800, hours=8.0))
    assert short["heat maps GB/day"].line == pytest.approx(figures()["heat maps GB/day"].line / 3)
    assert short["processors at work cores"] == figures()["processors at work cores"]


def test_processors_and_gpus_are_shares_of_the_takt():
    assert figures()["processors at work cores"].line == pytest.approx(0.25)
    assert figures()["GPUs at work GPUs"].plant == pytest.approx(0.2)


def test_the_default_history_ends_by_size_or_by_age():
    # 405 kB x 43,200 are 17.5 GB a day of the 20 GB; without maps 216 MB a day, 92 days of them, of which 90 are kept.
    assert figures()["default history, all results and maps days"].line == pytest.approx(20 / 17.496)
    assert figures()["default history, no maps days"].line == 90


def test_sums_are_never_called_measured():
    assert {row.kind for row in plant_figures(PLANT, COST, 10.0)} == {"arithmetic"}
    assert {row.what: row.kind for row in part_figures(PLANT, COST)} == {
        "raw scan": "arithmetic",
        **dict.fromkeys(
            ("heat map, PNG", "map, TIFF", "result, JSON", "journal", "processor time, file to results"), "measured"
        ),
    }


def test_a_bank_takes_what_its_arrays_hold():
    rows = np.random.default_rng(0).normal(size=(4096, 8)) @ np.random.default_rng(1).normal(size=(8, 200))
    bank = build_bank(rows.astype(np.float32), row_groups=np.zeros(len(rows), np.int32))
    screen = bank._screen
    held = [*(bank.arrays()[name] for name in ("rows", "half_norms", "neighbors", "row_groups", "cells"))]
    held += [screen.order, screen.extended, screen.centers, screen.radii, screen.starts, screen.balls]
    expected = bank_host_bytes(4096, 200, directions=bank.basis.shape[1])
    assert sum(array.nbytes for array in held) == pytest.approx(expected, rel=0.01)
    laid_out = screened_bank(bank)
    stripes = [stripe.nbytes for piece in laid_out.slices for stripe in piece.stripes]
    device = laid_out.rows.nbytes + sum(stripes) + laid_out.order.nbytes + bank.neighbors.size * 8
    assert device == pytest.approx(bank_device_bytes(4096, 200), rel=0.01)


def test_banks_in_half_precision_take_half_of_their_rows():
    assert bank_host_bytes(1000, 768) - bank_host_bytes(1000, 768, itemsize=2) == 1000 * 768 * 2
    assert bank_device_bytes(1000, 768) - bank_device_bytes(1000, 768, itemsize=2) == 1000 * 768 * 2


def test_the_table_has_a_row_a_figure():
    rows = [*part_figures(PLANT, COST), *plant_figures(PLANT, COST, 10.0)]
    lines = figures_table(rows, 40).splitlines()
    assert len(lines) == len(rows) + 2 and "40 lines" in lines[0]
    assert "| network, raw scans | 30.7 | 1,230 | Mbit/s | arithmetic |" in "\n".join(lines)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.01234, "0.0123"), (1.0, "1"), (9.999, "10"), (43200.0, "43,200"), (13271.04, "13,300")],
)
def test_figures_have_three_digits(value, text):
    assert digits(value) == text


def test_sizes_are_width_by_height():
    assert parsed_size("2048x1536") == (2048, 1536)
    for wrong in ("800", "0x800", "axb"):
        with pytest.raises(ValueError):
            parsed_size(wrong)


PAGE = (Path(__file__).resolve().parents[2] / "docs" / "scaling.md").read_text(encoding="utf-8")


def test_the_page_shows_the_table_of_what_was_measured():
    cost = PartCost(2334.0, 462_338.0, 1_509_180.0, 2816.0, 0.266)
    rows = [*part_figures(PLANT, cost), *plant_figures(PLANT, cost, GPU_MS)]
    assert figures_table(rows, PLANT.lines) in PAGE


@pytest.mark.parametrize(("rows", "dim"), [(10_000, 192), (76_518, 192), (76_518, 768), (500_000, 768)])
def test_the_page_shows_what_banks_take(rows, dim):
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| {rows:,} x {dim} ")]
    sizes = [function(rows, dim, size) / 1e6 for function in (bank_host_bytes, bank_device_bytes) for size in (4, 2)]
    assert [cell.strip() for cell in line.split("|")[2:-1]] == [f"{size:,.0f} MB" for size in sizes]
