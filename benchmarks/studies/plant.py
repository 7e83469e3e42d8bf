"""What a plant takes: bytes, memory and processor time of a part, measured with a bundle, and a plant's sums of them.

    python benchmarks/studies/plant.py BUNDLE [--lines 40] [--takt 2.0] [--scan 800x800] [--parts 20] [--no-banks]

Two runs of `cmdiad-rt watch`, of few parts and of --parts, inspect rendered flanges of --scan pixels, one in ten with
a dent; their difference is what a part takes, without the start. Then memory banks of --rows x --dim random rows are
searched, each by a process of its own. Prints one JSON line a measure, then the plant's table in Markdown, where each
row says whether it is measured or arithmetic, then the machine. --gpu-ms is the time of a part on the GPU; its default
is arithmetic itself (docs/gpu.md).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tifffile
from cmdiad.benchmarks.shared.measuring import machine
from cmdiad.benchmarks.shared.tables import markdown_table
from cmdiad.benchmarks.studies.kills import started
from cmdiad.calibration.line_graph.half_screen import screen_width
from cmdiad.runtime.banks.screen import ROWS_PER_CELL
from cmdiad.runtime.child_python import child_environment
from cmdiad.runtime.proc import proc_field, resident_bytes
from cmdiad.runtime.service.line_file import HistoryTable

FEW_PARTS = 4
DENTED_EVERY = 10
LONGEST_RUN_SECONDS = 1800.0
# What the sums take for granted where nothing is said: docs/gpu.md, one part after the other, by arithmetic.
GPU_MS = 13.9
QUERIES = 1069
# Directions that rows of rendered and real scans are screened in (docs/performance.md).
DIRECTIONS = 42

Kind = Literal["measured", "arithmetic"]


@dataclass(frozen=True)
class PartCost:
    """What one part takes: bytes on disk of its files, and processor time from its file to its results."""

    result_bytes: float
    heatmap_bytes: float
    map_bytes: float
    journal_bytes: float
    processor_seconds: float

    @property
    def kept_bytes(self) -> float:
        """What `[history] max_gb` counts of a part with its heat map and map."""
        return self.bytes_without_maps + self.heatmap_bytes + self.map_bytes

    @property
    def bytes_without_maps(self) -> float:
        """The same with `heatmaps = "none"`."""
        return self.result_bytes + self.journal_bytes


@dataclass(frozen=True)
class Plant:
    """What is asked: lines, seconds between two parts of a line, pixels of a scan, hours a day."""

    lines: int
    takt_seconds: float
    width: int
    height: int
    hours: float = 24.0

    @property
    def parts_per_second(self) -> float:
        """Of all lines, while they run."""
        return self.lines / self.takt_seconds

    @property
    def parts_per_day(self) -> float:
        """Of one line."""
        return self.hours * 3600.0 / self.takt_seconds


@dataclass(frozen=True)
class PlantFigure:
    """One row of the table: of one line (or one part), and of all lines where that is a sum."""

    what: str
    line: float
    plant: float | None
    unit: str
    kind: Kind
    formula: str


def scan_bytes(width: int, height: int) -> int:
    """Three float32 a pixel, as an uncompressed TIFF or a request of raw numbers holds them.

    Example:
        >>> scan_bytes(800, 800)
        7680000
    """
    return 12 * width * height


def bank_host_bytes(rows: int, dim: int, itemsize: int = 4, directions: int = DIRECTIONS) -> int:
    """A memory bank on the CPU: its arrays, and the screen that its first search lays out (`banks/screen.py`)."""
    arrays = rows * (dim * itemsize + 4 + 2 * 4 + 4 + 4)  # rows, half norms, two neighbors, scan, cell
    cells = math.ceil(rows / ROWS_PER_CELL)
    screen = rows * (8 + 4 * (directions + 2)) + cells * (8 * (directions + 3) + 4 * (directions + 5))
    return arrays + screen


def bank_device_bytes(rows: int, dim: int, itemsize: int = 4) -> int:
    """A memory bank in the line graph: its rows, their half-precision screen, their order and two neighbors, int64.

    Example:
        >>> bank_device_bytes(76_518, 768) / 76_518
        4648.0
    """
    return rows * (dim * itemsize + 2 * screen_width(dim) + 8 + 2 * 8)


def part_figures(plant: Plant, cost: PartCost) -> list[PlantFigure]:
    """What one part takes."""
    size = f"{plant.width} x {plant.height}"
    raw = scan_bytes(plant.width, plant.height) / 1e3
    measured = (
        ("heat map, PNG", cost.heatmap_bytes / 1e3, "kB"),
        ("map, TIFF", cost.map_bytes / 1e3, "kB"),
        ("result, JSON", cost.result_bytes / 1e3, "kB"),
        ("journal", cost.journal_bytes / 1e3, "kB"),
        ("processor time, file to results", cost.processor_seconds, "s"),
    )
    return [
        PlantFigure("raw scan", raw, None, "kB a part", "arithmetic", f"12 x {size} bytes"),
        *(PlantFigure(what, value, None, f"{unit} a part", "measured", "this run") for what, value, unit in measured),
    ]


def plant_figures(plant: Plant, cost: PartCost, gpu_ms: float) -> list[PlantFigure]:
    """The sums of a plant: all of them arithmetic, from what a part takes."""
    raw, history = scan_bytes(plant.width, plant.height), HistoryTable()
    rate, daily = 1.0 / plant.takt_seconds, plant.parts_per_day / 1e9
    figures = [
        _summed(plant, "parts", rate, "1/s", "1 / takt"),
        _summed(plant, "parts", plant.parts_per_day, "1/day", f"{plant.hours:g} h / takt"),
        _summed(plant, "network, raw scans", raw * 8e-6 * rate, "Mbit/s", "8 x raw scan / takt"),
        _summed(plant, "processors at work", cost.processor_seconds * rate, "cores", "processor time / takt"),
        _summed(plant, "GPUs at work", gpu_ms / 1e3 * rate, "GPUs", f"{gpu_ms:g} ms / takt"),
        _summed(plant, "raw scans, where they are kept", raw * daily, "GB/day", "raw scan x parts a day"),
        _summed(plant, "heat maps", cost.heatmap_bytes * daily, "GB/day", "heat map x parts a day"),
        _summed(plant, "maps", cost.map_bytes * daily, "GB/day", "map x parts a day"),
        _summed(plant, "results", cost.result_bytes * daily, "GB/day", "result x parts a day"),
        _summed(plant, "journal", cost.journal_bytes * daily, "GB/day", "journal x parts a day"),
    ]
    for what, size in (("all results and maps", cost.kept_bytes), ("no maps", cost.bytes_without_maps)):
        days = min(history.max_gb / (size * daily), history.keep_days)
        formula = f"{history.max_gb:g} GB / what they take a day, {history.keep_days:g} days at most"
        figures.append(PlantFigure(f"default history, {what}", days, None, "days", "arithmetic", formula))
    return figures


def _summed(plant: Plant, what: str, line: float, unit: str, formula: str) -> PlantFigure:
    return PlantFigure(what, line, line * plant.lines, unit, "arithmetic", formula)


def figures_table(figures: list[PlantFigure], lines: int) -> str:
    """The figures in Markdown, three digits of each."""
    headers = ["", "a line", f"{lines} lines", "unit", "measured or arithmetic", "how"]
    rows = [
        [row.what, digits(row.line), "" if row.plant is None else digits(row.plant), row.unit, row.kind, row.formula]
        for row in figures
    ]
    return markdown_table(headers, rows)


def digits(value: float) -> str:
    """Three digits that count, with thousands apart.

    Example:
        >>> digits(0.01234), digits(43200), digits(13271.04)
        ('0.0123', '43,200', '13,300')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = 2 - math.floor(math.log10(abs(value)))
    rounded = value if value == int(value) and abs(value) < 1e6 else round(value, places)
    return f"{rounded:,.{max(0, 0 if rounded == int(rounded) else places)}f}"


def parsed_size(text: str) -> tuple[int, int]:
    """Width and height of `800x800`. Raises ValueError where that is no size."""
    width, height = (int(number) for number in text.split("x"))
    if min(width, height) < 1:
        raise ValueError(f"{text} is no size")
    return width, height


def main() -> None:
    """Measure, sum up, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--lines", type=int, default=40)
    parser.add_argument("--takt", type=float, default=2.0, help="seconds between two parts of a line")
    parser.add_argument("--scan", type=parsed_size, default=(800, 800), metavar="WIDTHxHEIGHT")
    parser.add_argument("--hours", type=float, default=24.0, help="hours of production a day")
    parser.add_argument("--gpu-ms", type=float, default=GPU_MS, help="a part's time on the GPU")
    parser.add_argument("--parts", type=int, default=20, help="parts that are inspected")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 76_518], help="rows of the banks")
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--no-banks", action="store_true", help="measure no banks")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        width, height = options.scan
        cost = measured_part(options.bundle.resolve(), width, height, options.parts, Path(folder))
        for rows in () if options.no_banks else options.rows:
            print(json.dumps(measured_bank(rows, options.dim, Path(folder))), flush=True)
    plant = Plant(options.lines, options.takt, width, height, options.hours)
    figures = [*part_figures(plant, cost), *plant_figures(plant, cost, options.gpu_ms)]
    print(figures_table(figures, plant.lines))
    print(json.dumps(machine()))


def measured_part(bundle: Path, width: int, height: int, parts: int, folder: Path) -> PartCost:
    """What a part takes: the difference of two runs of `watch`, divided by that of their parts."""
    if parts <= FEW_PARTS:
        raise SystemExit(f"--parts {parts}: give more than {FEW_PARTS}")
    scans = folder / "scans"
    scans.mkdir()
    for number in range(parts):
        tifffile.imwrite(scans / f"{number:04d}.tiff", rendered(width, height, number), photometric="rgb")
    few, many = (watched(bundle, scans, count, folder / f"run_{count}") for count in (FEW_PARTS, parts))
    a_part = {name: (many[name] - few[name]) / (parts - FEW_PARTS) for name in few if name != "resident_mb"}
    line = {"measure": f"part_{width}x{height}", "scan_bytes": scan_bytes(width, height), "parts": parts}
    shown = {name: round(value, 4 if name.endswith("seconds") else 0) for name, value in a_part.items()}
    print(json.dumps({**line, **shown, "resident_mb": round(many["resident_mb"])}), flush=True)
    return PartCost(**a_part)


def rendered(width: int, height: int, seed: int) -> np.ndarray:
    """A raw scan (height, width, 3) float32, meters, of a flange of the demo."""
    from cmdiad.training.synth.synthesis import render_sample

    defect = "dent" if seed % DENTED_EVERY == DENTED_EVERY - 1 else None
    side = max(width, height)
    points = render_sample("flange", defect, seed, side).points
    top, left = (side - height) // 2, (side - width) // 2
    return np.ascontiguousarray(points[top : top + height, left : left + width])


def watched(bundle: Path, scans: Path, count: int, folder: Path) -> dict[str, float]:
    """`watch` the first scans of a folder: bytes of all files by kind, processor seconds, memory at the end."""
    place, out = folder / "in", folder / "out"
    place.mkdir(parents=True)
    for scan in sorted(scans.iterdir())[:count]:
        os.link(scan, place / scan.name)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    arguments = [str(place), "--out", str(out), "--bundle", str(bundle), "--settle", "0", "--allow-any-size"]
    process = started(["watch", *arguments])
    wait_for(process, out, count)
    resident = int((proc_field(f"{process.pid}/status", "VmRSS") or "0").split()[0]) / 1024
    process.send_signal(signal.SIGTERM)
    process.wait(120)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if rejected := list(out.glob("rejected/*.reason.json")):
        raise SystemExit(f"{len(rejected)} of {count} scans were not inspected: {rejected[0].read_text()}")
    sizes = {
        "result_bytes": total_bytes(out, "*/*_result.json"),
        "heatmap_bytes": total_bytes(out, "*/*_heatmap.png"),
        "map_bytes": total_bytes(out, "*/*_map.tiff"),
        "journal_bytes": total_bytes(out, "journal.sqlite*"),
    }
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    shutil.rmtree(folder)
    return {**sizes, "processor_seconds": seconds, "resident_mb": resident}


def wait_for(process: subprocess.Popen[bytes], out: Path, count: int) -> None:
    """Until there are as many results."""
    end = time.monotonic() + LONGEST_RUN_SECONDS
    while len(list(out.glob("*/*_result.json"))) + len(list(out.glob("rejected/*.reason.json"))) < count:
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            raise SystemExit("watch ended, or takes too long: run it alone and see why")
        time.sleep(0.1)


def total_bytes(folder: Path, pattern: str) -> float:
    """The sizes of all files of a pattern."""
    return float(sum(path.stat().st_size for path in folder.glob(pattern)))


def measured_bank(rows: int, dim: int, folder: Path) -> dict[str, float | str]:
    """How much the resident memory of a process grows by opening a bank and searching in it, beside the sum."""
    from cmdiad.runtime.banks.exact import fit_reduction, half_sq_norms
    from cmdiad.runtime.banks.screen import build_screen

    held = np.lib.format.open_memmap(folder / "rows.npy", "w+", np.float32, (rows, dim))
    for begin, block in random_rows(rows, dim):
        held[begin : begin + len(block)] = block
    held.flush()
    reduction = fit_reduction(held)
    cells = build_screen(held, reduction).cells
    arrays: dict[str, np.ndarray] = {
        "half_norms": half_sq_norms(held),
        "basis": reduction.basis,
        "cells": cells,
        "mean": np.zeros(dim, np.float32),
        "row_groups": np.zeros(rows, np.int32),
        "neighbors": np.zeros((rows, 2), np.int32),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    command = [sys.executable, __file__, "--child", str(folder)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=child_environment())
    directions = reduction.basis.shape[1]
    return {
        "measure": f"bank_{rows}x{dim}",
        "directions": directions,
        "grown_mb": round(float(answer.stdout) / 1e6, 1),
        "host_arithmetic_mb": round(bank_host_bytes(rows, dim, directions=directions) / 1e6, 1),
        "device_arithmetic_mb": round(bank_device_bytes(rows, dim) / 1e6, 1),
    }


def random_rows(rows: int, dim: int) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks of rows that lie near few directions, as features do, each with where it begins."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(36, dim)).astype(np.float32)
    for begin in range(0, rows, 8192):
        count = min(8192, rows - begin)
        inside = rng.normal(size=(count, 36)).astype(np.float32) @ directions
        yield begin, inside + rng.normal(scale=0.5, size=(count, dim)).astype(np.float32)


def search_here(folder: Path) -> int:
    """Bytes that this process grows by when it opens the bank of a folder and searches in it twice."""
    from cmdiad.runtime.banks.bank import MemoryBank

    before = resident_bytes() or 0
    names = ("rows", "mean", "half_norms", "neighbors", "row_groups", "basis", "cells")
    bank = MemoryBank.from_arrays({name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}, "l2")
    queries = np.ascontiguousarray(bank.rows[:: max(1, len(bank.rows) // QUERIES)]) * np.float32(1.001)
    for _ in range(2):
        bank.search(queries)
    # A line that runs for days has read all rows, each when it was the likely one.
    np.add.reduce(bank.rows, axis=None)
    return (resident_bytes() or 0) - before


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(search_here(Path(sys.argv[2])))
    else:
        main()
