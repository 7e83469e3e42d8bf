"""Is it right? Kernels against NumPy, rows against an exact search, golden scans, batches against single parts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from cmdiad.benchmarks.gpu.full_size import PRECISIONS, FullSizeLine
from cmdiad.benchmarks.gpu.measures import Measure
from cmdiad.benchmarks.shared.measuring import relative_difference
from cmdiad.runtime.acceptance.selftest import SelftestReport, run_selftest
from cmdiad.runtime.bundle.parameters import Grouping
from cmdiad.runtime.bundle.reading import Bundle
from cmdiad.runtime.choices import Graph
from cmdiad.runtime.engines.device import Device
from cmdiad.runtime.errors import CmdiadError
from cmdiad.runtime.line_graph import open_line_graph
from cmdiad.runtime.patches.gpu.device_grouper import DeviceGrouper
from cmdiad.runtime.patches.grouped import group_on_cpu
from cmdiad.runtime.patches.routes import modalities
from cmdiad.runtime.preparation.prepared_part import PreparedPart, prepare_file
from cmdiad.runtime.timing import StageTimes
from cmdiad.runtime.verdict.decision import Decision
from cmdiad.runtime.verdict.searched_again import OUT_OF_BOUND

GRAPHS: tuple[Graph, ...] = ("networks", "line")
BATCHES = (2, 4, 8)
ALIKE, WEIGHTS_OFF = 1e-3, 1e-6
PIXELS = 224 * 224

Cloud = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


def prepared_parts(line: FullSizeLine) -> list[PreparedPart]:
    """The held-out scans, preprocessed."""
    manifest = line.bundles["fp32"].manifest
    return [prepare_file(scan, modalities(manifest), manifest.preprocessing) for scan in line.held_out]


def kernel_measures(device: Device, parts: list[PreparedPart], grouping: Grouping) -> Iterator[Measure]:
    """What the kernels make of clouds of all kinds, against NumPy and SciPy."""
    grouper = DeviceGrouper(device)
    for name, (points, pixels) in clouds(parts).items():
        made, expected = grouper(points, pixels, grouping), group_on_cpu(points, pixels, grouping)
        wrong = np.count_nonzero(made.center_idx != expected.center_idx)
        wrong += np.count_nonzero(made.groups != expected.groups) + np.count_nonzero(made.centers != expected.centers)
        off = np.abs((made.pooling - expected.pooling).toarray()).max()
        wrong += np.count_nonzero(np.diff(made.pooling.indptr) != np.diff(expected.pooling.indptr))
        remark = f"{len(points)} points; pooling weights off by {off:.1e}"
        wrong += int(off > WEIGHTS_OFF)
        yield Measure(f"kernels, {name}: indices and coordinates", float(wrong), "wrong", 0.0, remark=remark)


def clouds(parts: list[PreparedPart]) -> dict[str, Cloud]:
    """Points and their pixels: parts as they come, and what a sensor should not give."""
    rng, made = np.random.default_rng(0), {}
    for number, part in enumerate(parts[:3]):
        assert part.scan is not None
        pixels = np.flatnonzero(part.scan.valid)
        made[f"part {number}"] = part.scan.points.reshape(-1, 3)[pixels], pixels
    lattice = np.stack(np.meshgrid(*[np.arange(24)] * 3), axis=-1).reshape(-1, 3).astype(np.float32)
    shapes = {
        "lattice full of ties": lattice,
        "duplicates": rng.normal(size=(400, 3)).astype(np.float32)[rng.integers(400, size=6000)],
        "as few as a group": rng.normal(size=(128, 3)).astype(np.float32),
        "every pixel": rng.normal(size=(PIXELS, 3)).astype(np.float32),
        "all at one place": np.ones((20_000, 3), np.float32),
    }
    return {**made, **{name: (points, np.arange(len(points))) for name, points in shapes.items()}}


def row_measures(line: FullSizeLine, provider: str, parts: list[PreparedPart]) -> Iterator[Measure]:
    """The line graph's rows against an exact search of its own queries."""
    for precision in PRECISIONS:
        bundle = line.bundles[precision]
        graph, decision = open_line_graph(bundle, provider), Decision.load(bundle)
        totals = np.zeros(4, np.int64)
        for part in parts[:4]:
            outputs = graph.outputs(part)
            foreground = outputs["index_main"] >= 0
            for role, normalized in (("main", decision.main), ("hallucinated", decision.second)):
                assert normalized is not None
                n = int(foreground.sum())
                again, index = outputs[f"again_{role}"][:n], outputs[f"index_{role}"][foreground]
                exact = normalized.bank.search_prepared(outputs[f"queries_{role}"][:n]).index
                wrong = np.count_nonzero((index != exact) & (again == 0))
                totals += np.array([wrong, np.count_nonzero(again), np.count_nonzero(again == OUT_OF_BOUND), n])
        decision.close()
        rows = len(decision.main.bank.rows)
        remark = f"{totals[3]} searches in {rows} rows, {totals[1]} marked to be searched again"
        yield Measure(f"nearest rows that are not marked, {precision}", float(totals[0]), "wrong", 0.0, remark=remark)
        yield Measure(f"products outside their bound, {precision}", float(totals[2]), "patches", 0.0)


def selftest_measures(line: FullSizeLine, provider: str) -> Iterator[Measure]:
    """The golden scans by every graph, precision, and with and without CUDA graphs."""
    for precision in PRECISIONS:
        for graph in GRAPHS:
            for captured in (True, False) if provider != "cpu" else (False,):
                name = f"selftest, {precision}, {graph}, CUDA graphs {'on' if captured else 'off'}"
                try:
                    report = run_selftest(line.bundles[precision], provider, cuda_graph=captured, graph=graph)
                except CmdiadError as error:
                    yield Measure(name, None, "failed", 0.0, remark=str(error))
                    continue
                failed, remark = _summary(report)
                yield Measure(name, float(failed), "failed", 0.0, remark=remark)


def _summary(report: SelftestReport) -> tuple[int, str]:
    """How many comparisons failed, and the first of them, or how near the nearest is to failing."""
    failed = [comparison for comparison in report.comparisons if not comparison.passed]
    used = [(c.difference or 0.0) / c.tolerance for c in report.comparisons if c.tolerance]
    worst = ", ".join(f"{c.case} {c.stage}: {c.difference} ({c.tolerance})" for c in failed[:3])
    return len(failed), worst or f"uses {100 * max(used):.0f} % of what is allowed"


def batch_measures(bundle: Bundle, provider: str, parts: list[PreparedPart]) -> Iterator[Measure]:
    """Parts together against the same parts alone."""
    graph = open_line_graph(bundle, provider)
    ready = [graph.ready(part, StageTimes()) for part in parts]
    alone = [graph.run_batch([part], StageTimes())[0] for part in ready]
    for size in BATCHES:
        together = graph.run_batch(ready[:size], StageTimes())
        worst = max(
            max(relative_difference(both.score, one.score), relative_difference(both.map, one.map))
            for both, one in zip(together, alone, strict=False)
        )
        yield Measure(f"batch of {size} against single parts", worst, "relative", ALIKE)
