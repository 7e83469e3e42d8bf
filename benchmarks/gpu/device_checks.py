"""Whether a device gives the answers that NumPy gives: groups, rows of the banks, golden scans, batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from cmdiad.benchmarks.gpu.bound_measures import BoundMeasure
from cmdiad.benchmarks.gpu.opened_line import OpenedLine
from cmdiad.runtime.acceptance.allowances import limits
from cmdiad.runtime.acceptance.golden import MAP
from cmdiad.runtime.acceptance.selftest import GoldenComparison, run_selftest
from cmdiad.runtime.choices import Graph
from cmdiad.runtime.engines.device import Device
from cmdiad.runtime.line_graph import LineAnswer, LineGraph, Outputs
from cmdiad.runtime.patches.gpu.device_grouper import DeviceGrouper
from cmdiad.runtime.patches.grouped import GroupedPoints, group_on_cpu
from cmdiad.runtime.patches.pooling import SIZE, foreground_patches
from cmdiad.runtime.preparation.prepared_part import PreparedPart
from cmdiad.runtime.timing import StageTimes
from cmdiad.runtime.verdict.decision import Decision
from cmdiad.runtime.verdict.searched_again import OUT_OF_BOUND

Points = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.int64]

WEIGHTS_OFF = 1e-6
LATTICE_M = np.float32(2.0**-10)


@dataclass(frozen=True)
class PointCloud:
    """Points to group: (N, 3) float32 meters, and their ascending places in the map of 224 x 224."""

    name: str
    points: Points
    pixels: Pixels


def cloud_of(name: str, part: PreparedPart) -> PointCloud:
    """The points of a prepared part."""
    assert part.scan is not None
    pixels = np.flatnonzero(part.scan.valid)
    return PointCloud(name, part.scan.points.reshape(-1, 3)[pixels], pixels)


def hard_clouds() -> Iterator[PointCloud]:
    """Points that are hard to group alike: equal distances, equal points, as few and as many as there can be."""
    rng = np.random.default_rng(0)
    row, column = np.divmod(np.arange(SIZE * SIZE), SIZE)
    flat = np.stack([column, row, np.zeros_like(row)], axis=1).astype(np.float32) * LATTICE_M
    block = np.flatnonzero((row < 96) & (column < 96))
    yield PointCloud("a lattice full of ties", flat[block], block)
    places = rng.random((500, 3), np.float32)
    yield PointCloud("duplicates", places[np.arange(4000) % 500], np.sort(rng.permutation(SIZE * SIZE)[:4000]))
    yield PointCloud("128 points", rng.random((128, 3), np.float32), np.arange(128) * 7)
    uneven = flat + rng.normal(0, 1e-4, flat.shape).astype(np.float32)
    yield PointCloud("50,176 points", uneven, np.arange(SIZE * SIZE))


def check_kernels(opened: OpenedLine, device: Device) -> Iterator[BoundMeasure]:
    """Differences of groups on the device to those of NumPy and SciPy."""
    grouping, grouper = opened.bundle("fp32").manifest.grouping, DeviceGrouper(device)
    held_out = [cloud_of(path.stem, part) for path, part in zip(opened.scans, opened.parts, strict=True)]
    for name, clouds in ((f"{len(held_out)} held-out scans", held_out), *((one.name, [one]) for one in hard_clouds())):
        different = compared = 0
        for cloud in clouds:
            made = grouper(cloud.points, cloud.pixels, grouping)
            expected = group_on_cpu(cloud.points, cloud.pixels, grouping)
            different += differences_of_groups(made, expected)
            compared += expected.groups.size + expected.centers.size + expected.center_idx.size
        remark = f"of {compared} indices and coordinates, and all weights to {WEIGHTS_OFF:g}"
        yield BoundMeasure(f"groups unlike NumPy's: {name}", different, "", bar=0, remark=remark)


def differences_of_groups(made: GroupedPoints, expected: GroupedPoints) -> int:
    """How many indices and coordinates are not equal, and how many weights are farther apart than rounding."""
    names = ("center_idx", "centers", "groups")
    unequal = sum(int(np.count_nonzero(getattr(made, name) != getattr(expected, name))) for name in names)
    # Written so that a weight that is not a number counts.
    apart = ~(np.abs((made.pooling - expected.pooling).data) <= WEIGHTS_OFF)
    return unequal + int(np.count_nonzero(apart))


@dataclass(frozen=True)
class RowCounts:
    """Searches of patches in banks.

    Attributes:
        searches: all.
        wrong: those with another row than NumPy's exact search, and not marked to be searched again.
        again: those that are marked.
        out_of_bound: of these, where the device computed outside its error bound.
    """

    searches: int
    wrong: int
    again: int
    out_of_bound: int

    def __add__(self, other: RowCounts) -> RowCounts:
        """Both together."""
        return RowCounts(
            self.searches + other.searches,
            self.wrong + other.wrong,
            self.again + other.again,
            self.out_of_bound + other.out_of_bound,
        )


def check_rows(opened: OpenedLine, precision: str) -> Iterator[BoundMeasure]:
    """The nearest rows that the graph gives, against an exact search of the very queries that it gives."""
    bundle = opened.bundle(precision)
    decision, line = Decision.load(bundle), opened.line_graph(precision, cuda_graph=False)
    counts = RowCounts(0, 0, 0, 0)
    for part in opened.parts:
        patches = np.flatnonzero(foreground_patches(part.valid))
        counts += count_rows(decision, patches, line.outputs(part))
    decision.close()
    of_all = f"of {counts.searches} searches in {len(opened.parts)} scans"
    yield BoundMeasure(f"wrong rows, {precision}", counts.wrong, "", bar=0, remark=of_all)
    yield BoundMeasure(f"rows searched again, {precision}", counts.again, "", remark=of_all)
    yield BoundMeasure(f"rows out of bound, {precision}", counts.out_of_bound, "", bar=0, remark=of_all)


def count_rows(decision: Decision, patches: npt.NDArray[np.intp], outputs: Outputs) -> RowCounts:
    """Those of one part."""
    counts, (shared, _) = RowCounts(0, 0, 0, 0), decision.threads.pools()
    assert decision.second is not None
    for role, normalized in (("main", decision.main), ("hallucinated", decision.second)):
        queries, again = (outputs[f"{name}_{role}"][: len(patches)] for name in ("queries", "again"))
        index = outputs[f"index_{role}"].ravel()[patches]
        exact = normalized.bank.search_prepared(queries, shared=shared).index
        wrong = (index != exact) & (again == 0)
        out_of_bound = again == OUT_OF_BOUND
        counts += RowCounts(len(patches), *(int(np.count_nonzero(which)) for which in (wrong, again, out_of_bound)))
    return counts


def check_selftest(opened: OpenedLine, precision: str, graph: Graph, cuda_graph: bool) -> Iterator[BoundMeasure]:
    """Golden comparisons that do not pass, and the one that is nearest to its limit."""
    report = run_selftest(opened.bundle(precision), opened.provider, cuda_graph=cuda_graph, graph=graph)
    failed = sum(not comparison.passed for comparison in report.comparisons)
    worst = sorted(report.comparisons, key=_share_of_limit, reverse=True)[: max(1, failed)]
    words = f"of {len(report.comparisons)}; worst: {', '.join(map(_in_words, worst))}"
    yield BoundMeasure(selftest_name(precision, graph, cuda_graph), failed, "", bar=0, remark=words)


def selftest_name(precision: str, graph: Graph, cuda_graph: bool) -> str:
    """What a self-test's measure is called."""
    return f"selftest, failed comparisons, {precision}, {graph}, CUDA graph {'on' if cuda_graph else 'off'}"


def _share_of_limit(comparison: GoldenComparison) -> float:
    if comparison.difference is None:
        return float("inf")
    if comparison.tolerance == 0.0:
        return float("inf") if comparison.difference else 0.0
    return comparison.difference / comparison.tolerance


def _in_words(comparison: GoldenComparison) -> str:
    difference = "not seen" if comparison.difference is None else f"{comparison.difference:.2g}"
    return f"{comparison.case} {comparison.stage} {difference}, at most {comparison.tolerance:.2g}"


def check_batches(
    opened: OpenedLine, precision: str, cuda_graph: bool, batches: Sequence[int]
) -> Iterator[BoundMeasure]:
    """Parts in a batch against the same parts alone, as a share of what the self-test allows."""
    bundle, line = opened.bundle(precision), opened.line_graph(precision, cuda_graph)
    allowed = limits(bundle, opened.provider, line=True)
    parts = opened.parts[: max(batches)]
    alone = [line.run(part, StageTimes()) for part in parts]
    for batch in batches:
        map_off, score_off = batch_differences(line, parts[:batch], alone[:batch], allowed.threshold)
        share = max(map_off / allowed.of_stage(MAP), score_off / allowed.of_score())
        remark = f"map {map_off:.2g} of {allowed.of_stage(MAP):.2g}, score {score_off:.2g} of {allowed.of_score():.2g}"
        name = f"batch of {batch} against single parts, share of the selftest's tolerance, {precision}"
        yield BoundMeasure(name, share, "", bar=1, remark=remark)


def batch_differences(
    line: LineGraph, parts: Sequence[PreparedPart], alone: Sequence[LineAnswer], threshold: float
) -> tuple[float, float]:
    """The largest differences of map and score, relative as the self-test has them."""
    together = line.run_batch([line.ready(part, StageTimes()) for part in parts], StageTimes())
    pairs = list(zip(together, alone, strict=True))
    map_off = max(float(np.abs(one.map - other.map).max() / np.abs(other.map).max()) for one, other in pairs)
    score_off = max(abs(one.score - other.score) / max(abs(other.score), abs(threshold)) for one, other in pairs)
    return map_off, score_off
