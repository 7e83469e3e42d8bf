"""The method as published, in plain torch on the same device, from the same points and files.

torch's own settings stand: on a GPU its convolutions may use TF32, its products do not.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from cmdiad.benchmarks.gpu.bound_measures import BoundMeasure, Rival
from cmdiad.benchmarks.gpu.full_line import PRECISIONS
from cmdiad.benchmarks.gpu.line_times import raw_name, to_map_name
from cmdiad.benchmarks.gpu.opened_line import OpenedLine
from cmdiad.benchmarks.shared.paper_pipeline import PaperPipeline, Points
from cmdiad.benchmarks.shared.workbench import paper_pipeline
from cmdiad.runtime.preparation.prepared_part import PreparedPart, prepare_file
from cmdiad.runtime.sensor.part import POINTS
from cmdiad.runtime.timing import StageTimes

# As many times as long as the line takes.
TIMES_AS_LONG = 10.0
BATCHES = (1, 8)
PAPER = "paper pipeline in torch"
PREPROCESSED_BY_US = "paper pipeline in torch, with our reading and preprocessing (Open3D is not used)"

Answer = tuple[float, Points]


def against_paper(
    opened: OpenedLine, ours: Mapping[str, float], device: torch.device, repeats: int
) -> Iterator[BoundMeasure]:
    """The paper's pipeline against what was measured of the line before.

    Args:
        opened: the line.
        ours: milliseconds of its measures, by name.
        device: where all of the baseline's tensors are.
        repeats: how often the baseline is timed.
    """
    bundle = opened.bundle("fp32")
    paper = paper_pipeline(opened.folder, bundle).on_device(device)
    answers, to_map_ms = timed([partial(of_part, paper, part) for part in opened.parts[:repeats]])
    _, raw_ms = timed([partial(of_file, opened, paper, path) for path in opened.scans[:repeats]])
    bar = TIMES_AS_LONG if device.type == "cuda" else None
    for precision in PRECISIONS:
        names = [to_map_name(precision, batch, cuda_graph=opened.provider == "cuda") for batch in BATCHES]
        for name in names:
            yield beside(name, ours.get(name), Rival(PAPER, to_map_ms), bar)
        yield beside(raw_name(precision), ours.get(raw_name(precision)), Rival(PREPROCESSED_BY_US, raw_ms), bar)
    yield same_answers(opened, answers)


def beside(name: str, ours: float | None, rival: Rival, bar: float | None) -> BoundMeasure:
    """One of the line's times beside the baseline's; where ours was not measured, that is said."""
    measure = f"against the paper: {name}"
    if ours is None:
        return BoundMeasure(measure, skipped=f"ours was not measured; {rival.name}: {rival.value:.4g} ms")
    return BoundMeasure(measure, ours, bar=bar, rival=rival)


def of_part(paper: PaperPipeline, part: PreparedPart) -> Answer:
    """Score and map of a prepared part."""
    assert part.scan is not None
    return paper(part.scan.points)


def of_file(opened: OpenedLine, paper: PaperPipeline, path: Path) -> Answer:
    """Score and map of a raw file, read and preprocessed as the line does it."""
    manifest = opened.bundle("fp32").manifest
    return of_part(paper, prepare_file(path, POINTS, manifest.preprocessing, manifest.part_range))


def timed(calls: Sequence[Callable[[], Answer]]) -> tuple[list[Answer], float]:
    """Answers, and the median milliseconds of one after the first was met once; each ends with its map on the host."""
    calls[0]()
    answers, taken = [], []
    for call in calls:
        begin = time.perf_counter()
        answers.append(call())
        taken.append(1e3 * (time.perf_counter() - begin))
    return answers, statistics.median(taken)


def same_answers(opened: OpenedLine, answers: Sequence[Answer]) -> BoundMeasure:
    """By how much the line's fp32 scores and maps differ from the baseline's: both must compute the same thing."""
    line = opened.line_graph("fp32", cuda_graph=False)
    scores, maps = [], []
    for part, (score, map_224) in zip(opened.parts, answers, strict=False):
        answer = line.run(part, StageTimes())
        scores.append(abs(answer.score - score) / score)
        maps.append(float(abs(answer.map - map_224).max() / map_224.max()))
    remark = f"largest relative difference; of maps {max(maps):.2g}"
    return BoundMeasure(f"score unlike the paper's, fp32, {len(answers)} scans", max(scores), "", remark=remark)
