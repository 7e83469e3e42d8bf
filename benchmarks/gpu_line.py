"""The full-size line on a GPU: does it give NumPy's answers, and how fast is it? One command, for a borrowed machine.

    python benchmarks/gpu_line.py [--provider cuda] [--minutes 8] [--work FOLDER] [--quick]

Builds the line (`gpu/full_line.py`) into FOLDER, or uses the one that is there; compares kernels, rows of the banks,
golden scans and batches with NumPy; times stages by the device's events and the whole by the host's clock; and lets the
paper's pipeline run in torch on the same GPU. Prints one JSON object a measure, a table of all, and the machine. A
measure that fails is a row, and the others go on; what the minutes did not suffice for is a row too. The exit code is 1
where something failed. `--provider cpu --quick` tries the command where there is no GPU.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from cmdiad.benchmarks.gpu.bound_measures import (
    BoundMeasure,
    RunningClock,
    Step,
    exit_code,
    measures_table,
    run_steps,
)
from cmdiad.benchmarks.gpu.device_checks import (
    check_batches,
    check_kernels,
    check_rows,
    check_selftest,
    selftest_name,
)
from cmdiad.benchmarks.gpu.full_line import FULL, PRECISIONS, QUICK, LineSizes, build_line
from cmdiad.benchmarks.gpu.line_times import (
    Repeats,
    first_result,
    offline_name,
    points_to_map,
    raw_name,
    raw_to_verdict,
    stages_on_device,
    streamed,
    to_map_name,
)
from cmdiad.benchmarks.gpu.opened_line import OpenedLine
from cmdiad.benchmarks.gpu.paper_baseline import against_paper
from cmdiad.benchmarks.gpu.stage_events import events_of
from cmdiad.benchmarks.shared.measuring import machine
from cmdiad.runtime.bench.measuring.nvidia import open_nvidia
from cmdiad.runtime.choices import Graph, Written
from cmdiad.runtime.engines.onnxruntime_import import import_onnxruntime
from cmdiad.runtime.engines.providers import PROVIDERS
from cmdiad.runtime.engines.shared_device import shared_device


@dataclass(frozen=True)
class Plan:
    """How much is done.

    Attributes:
        sizes: of the line.
        batches: numbers of parts that go through the line graph together; those timed by events are the ends.
        repeats: how often things are timed.
        paper_repeats: how often the baseline is.
    """

    sizes: LineSizes
    batches: tuple[int, ...]
    repeats: Repeats
    paper_repeats: int


WHOLE = Plan(FULL, (1, 2, 4, 8), Repeats(whole=50, stages=20, streamed=200), paper_repeats=5)
SMALL = Plan(QUICK, (1, 2), Repeats(whole=2, stages=2, streamed=8), paper_repeats=1)
# What a GPU must reach; milliseconds a part by the size of the batch, of a file, and parts a second.
TO_MAP_MS = {1: 15.0, 8: 6.0}
RAW_MS, OFFLINE_PARTS_S = 55.0, 50.0
GRAPHS: tuple[Graph, ...] = ("networks", "line")
WRITTEN: tuple[Written, ...] = ("none", "all")
NO_GPU = "needs an NVIDIA GPU"


def main() -> int:
    """Build, check, time and print; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--provider", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--minutes", type=float, default=8.0, help="after which nothing more is begun")
    parser.add_argument("--work", type=Path, help="folder of the line; by default a temporary one")
    parser.add_argument("--quick", action="store_true", help="a small line, timed a few times: does everything run?")
    options = parser.parse_args()
    clock, plan = RunningClock(60 * options.minutes), SMALL if options.quick else WHOLE
    made: list[BoundMeasure] = []
    with work_folder_of(options.work) as folder:
        building = partial(built, folder, plan, options.provider, clock)
        run_steps([Step("line built", building)], clock, made)
        if not exit_code(made):
            run_steps(list(steps(OpenedLine(folder, options.provider), plan, made)), clock, made)
    clock.say("done")
    print(measures_table(made))
    print(json.dumps({**machine(), **gpu_facts(options.provider)}))
    return exit_code(made)


@contextmanager
def work_folder_of(asked: Path | None) -> Iterator[Path]:
    """The folder that was asked for, made if need be, or a temporary one."""
    if asked is not None:
        asked.mkdir(parents=True, exist_ok=True)
        yield asked
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def built(folder: Path, plan: Plan, provider: str, clock: RunningClock) -> Iterator[BoundMeasure]:
    """The line, and how long it took to build."""
    begin = clock.seconds
    if build_line(folder, plan.sizes, provider, clock):
        yield BoundMeasure("line built", clock.seconds - begin, "s", remark=f"banks of {plan.sizes.rows} rows")
    else:
        yield BoundMeasure("line built", skipped=f"{folder} has one of this size, which is used")


def steps(opened: OpenedLine, plan: Plan, made: Sequence[BoundMeasure]) -> Iterator[Step]:
    """All measures of a built line, in order."""
    device, obstacle = opened_device(opened.provider)
    yield Step("groups unlike NumPy's", partial(check_kernels, opened, device), obstacle)
    yield from checks(opened, plan)
    yield from device_stages(opened, plan, device, obstacle)
    yield from whole_times(opened, plan)
    yield Step("GPU memory in use", gpu_memory, NO_GPU if opened.provider == "cpu" else "")

    def against() -> Iterator[BoundMeasure]:
        return against_paper(opened, milliseconds(made), torch.device(opened.provider), plan.paper_repeats)

    yield Step("against the paper", against)


def opened_device(provider: str) -> tuple[Any, str]:
    """The device that kernels run on, and why there is none; either is empty."""
    if provider == "cpu":
        return None, NO_GPU
    device = shared_device(provider)
    return device, "" if device is not None else "kernels cannot run here, as warned of"


def checks(opened: OpenedLine, plan: Plan) -> Iterator[Step]:
    """Are the answers right?"""
    for precision in PRECISIONS:
        yield Step(f"wrong rows, {precision}", partial(check_rows, opened, precision))
    for precision in PRECISIONS:
        for graph in GRAPHS:
            for cuda_graph in (True, False):
                name = selftest_name(precision, graph, cuda_graph)
                check = partial(check_selftest, opened, precision, graph, cuda_graph)
                yield Step(name, check, no_capture(opened, cuda_graph))
    for precision in PRECISIONS:
        check = partial(check_batches, opened, precision, captures(opened), plan.batches[1:])
        yield Step(f"batches against single parts, {precision}", check)


def device_stages(opened: OpenedLine, plan: Plan, device: Any, obstacle: str) -> Iterator[Step]:
    """What takes the time on the device?"""

    batches = plan.batches[0], plan.batches[-1]

    def measured(precision: str) -> Iterator[BoundMeasure]:
        return stages_on_device(opened, device, events_of(device), precision, batches, plan.repeats.stages)

    for precision in PRECISIONS:
        yield Step(f"stages on the device, {precision}", partial(measured, precision), obstacle)


def whole_times(opened: OpenedLine, plan: Plan) -> Iterator[Step]:
    """How long does it take?"""
    on_gpu, repeats = opened.provider != "cpu", plan.repeats
    for precision in PRECISIONS:
        for cuda_graph in (True, False):
            for batch in plan.batches:
                # As the line runs unless told otherwise.
                bar = TO_MAP_MS.get(batch) if on_gpu and cuda_graph else None
                timing = partial(points_to_map, opened, precision, cuda_graph, batch, repeats.whole, bar)
                yield Step(to_map_name(precision, batch, cuda_graph), timing, no_capture(opened, cuda_graph))
    for precision in PRECISIONS:
        bar = RAW_MS if on_gpu else None
        yield Step(raw_name(precision), partial(raw_to_verdict, opened, precision, repeats.whole, bar))
    for precision in PRECISIONS:
        for written in WRITTEN:
            bar = OFFLINE_PARTS_S if on_gpu else None
            timing = partial(streamed, opened, precision, written, repeats.streamed, bar)
            yield Step(offline_name(precision, written), timing)
    for precision in PRECISIONS:
        yield Step(f"load to first result, {precision}", partial(first_result, opened, precision))


def captures(opened: OpenedLine) -> bool:
    """Whether the provider captures CUDA graphs unless told otherwise."""
    return PROVIDERS[opened.provider].captures_unasked


def no_capture(opened: OpenedLine, cuda_graph: bool) -> str:
    """Why CUDA graphs cannot be measured; empty where they can, or are not asked for."""
    return NO_GPU if cuda_graph and not captures(opened) else ""


def milliseconds(made: Sequence[BoundMeasure]) -> dict[str, float]:
    """The times that were measured so far, by their names."""
    return {measure.measure: measure.ours for measure in made if measure.unit == "ms" and measure.ours is not None}


def gpu_memory() -> Iterator[BoundMeasure]:
    """What all processes hold of the GPU at this moment."""
    free, total = torch.cuda.mem_get_info()
    remark = "line graphs of both precisions, with CUDA graphs and without, and what was opened beside them"
    yield BoundMeasure("GPU memory in use", (total - free) / 1e6, "MB", remark=remark)


def gpu_facts(provider: str) -> dict[str, Any]:
    """The GPU, its driver and what runs on it."""
    facts: dict[str, Any] = {"provider": provider, "onnxruntime": import_onnxruntime().__version__}
    facts["torch_cuda"] = torch.version.cuda
    nvidia, missing = open_nvidia(provider)
    if nvidia is not None:
        gpu = nvidia.describe()
        return {**facts, "gpu": gpu.name, "driver": gpu.driver, "cuda": gpu.cuda, "sm": gpu.compute_capability}
    if missing is not None and torch.cuda.is_available():
        return {**facts, "gpu": torch.cuda.get_device_name(), "driver": driver_by_tool()}
    return facts


def driver_by_tool() -> str:
    """The driver's version as `nvidia-smi` tells it, where NVML's package is missing."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as cause:
        return f"not known ({cause})"


if __name__ == "__main__":
    sys.exit(main())
