"""How long the line takes: on the device by its events, and from points or files to answers by the host's clock."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from cmdiad.benchmarks.gpu.bound_measures import BoundMeasure
from cmdiad.benchmarks.gpu.opened_line import STREAM_BATCH, OpenedLine
from cmdiad.benchmarks.gpu.stage_events import ALL, EventedDevice, StageEvents, StreamEvent, evented_session
from cmdiad.runtime.child_python import child_environment
from cmdiad.runtime.choices import Written
from cmdiad.runtime.engines.device import Device
from cmdiad.runtime.engines.opening import open_device_session
from cmdiad.runtime.engines.plan_check import LINE_ROLE
from cmdiad.runtime.engines.providers import PROVIDERS
from cmdiad.runtime.inspection import Inspection
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.line.device_feed import DeviceFeed
from cmdiad.runtime.line_graph import LineGraph
from cmdiad.runtime.patches.routes import route_of
from cmdiad.runtime.preparation.prepared_part import PreparedPart
from cmdiad.runtime.stream import inspect_stream
from cmdiad.runtime.timing import StageTimes
from cmdiad.runtime.verdict.decision import Decision

# A CUDA graph is captured in the second run of a size, and replayed from the next one on.
WARM_UPS = 3
FIRST_RESULT = """
import json, sys, time
begin = time.perf_counter()
from cmdiad.runtime.inspector import Inspector
imported = time.perf_counter()
inspector = Inspector.load(sys.argv[1], provider=sys.argv[2], graph="line", allow_any_size=True)
loaded = time.perf_counter()
inspector(sys.argv[3])
done = time.perf_counter()
stages = {"import": imported - begin, "load": loaded - imported, "first inspection": done - loaded}
print(json.dumps({"s": done - imported, "stages_ms": {name: 1e3 * s for name, s in stages.items()}}))
"""


@dataclass(frozen=True)
class Repeats:
    """How often things are timed.

    Attributes:
        whole: runs of a batch or a file whose median counts.
        stages: runs whose events' medians count.
        streamed: files of a stream.
    """

    whole: int
    stages: int
    streamed: int


def to_map_name(precision: str, batch: int, cuda_graph: bool) -> str:
    """What the time from points to score and map is called."""
    return f"points to score and map, ms a part, {precision}, batch {batch}, CUDA graph {'on' if cuda_graph else 'off'}"


def raw_name(precision: str) -> str:
    """What the time of a whole inspection is called."""
    return f"raw 400 x 400 file to verdict, {precision}"


def offline_name(precision: str, written: Written) -> str:
    """What the rate of a stream is called."""
    words = {"none": "nothing", "defects": "defects", "all": "heat maps and maps"}[written]
    return f"offline, batch {STREAM_BATCH}, {precision}, written: {words}"


def stages_on_device(
    opened: OpenedLine,
    device: Device,
    record: Callable[[], StreamEvent],
    precision: str,
    batches: Sequence[int],
    repeats: int,
) -> Iterator[BoundMeasure]:
    """The median of every stage of batches, by the device's events."""
    events = StageEvents(record)
    line = evented_line(opened, EventedDevice(device, events), events, precision)
    for batch in batches:
        taken = stages_of_runs(line, events, opened.parts[:batch], repeats)
        medians = {name: statistics.median(stages.get(name, 0.0) for stages in taken) for name in taken[0]}
        name = f"first copy up to last copy down, ms a batch, {precision}, batch {batch}"
        yield BoundMeasure(name, medians.pop(ALL), stages_ms=medians, remark="by events of the device")


def stages_of_runs(
    line: LineGraph, events: StageEvents, parts: Sequence[PreparedPart], repeats: int
) -> list[dict[str, float]]:
    """The stages of every run of a batch after it was met."""
    taken = []
    for _ in range(WARM_UPS + repeats):
        line.run_batch([line.ready(part, StageTimes()) for part in parts], StageTimes())
        taken.append(events.taken())
    return taken[WARM_UPS:]


def evented_line(opened: OpenedLine, device: Device, events: StageEvents, precision: str) -> LineGraph:
    """A line graph on the device, as `open_line_graph` opens it, whose stages leave events."""
    bundle = opened.bundle(precision)
    manifest = bundle.manifest
    assert manifest.line_graph is not None
    session = open_device_session(bundle, LINE_ROLE, PROVIDERS[opened.provider], device, None, None)
    feed = DeviceFeed(manifest.line_graph, manifest.grouping, evented_session(session, events), device)
    return LineGraph(route_of(manifest.route, manifest.main), feed, Decision.load(bundle))


def points_to_map(
    opened: OpenedLine, precision: str, cuda_graph: bool, batch: int, repeats: int, bar: float | None
) -> Iterator[BoundMeasure]:
    """The median time of a batch by the host's clock, divided by its parts."""
    line = opened.line_graph(precision, cuda_graph)
    batches = batches_of(opened.parts, batch)

    def run(parts: Sequence[PreparedPart]) -> None:
        line.run_batch([line.ready(part, StageTimes()) for part in parts], StageTimes())

    ms = median_ms(run, batches, repeats)
    yield BoundMeasure(to_map_name(precision, batch, cuda_graph), ms / batch, bar=bar)


def batches_of(parts: Sequence[PreparedPart], batch: int) -> list[list[PreparedPart]]:
    """Some batches, of different parts as far as there are any."""
    count = max(1, min(4, len(parts) // batch))
    endless = cycle(parts)
    return [list(islice(endless, batch)) for _ in range(count)]


def median_ms(run: Callable[[Any], object], items: Sequence[Any], repeats: int) -> float:
    """The median milliseconds of a call with items that take turns, each met before."""
    items = items[:repeats]
    for item in items:
        for _ in range(WARM_UPS):
            run(item)
    taken = []
    for item in islice(cycle(items), repeats):
        begin = time.perf_counter()
        run(item)
        taken.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(taken)


def raw_to_verdict(opened: OpenedLine, precision: str, repeats: int, bar: float | None) -> Iterator[BoundMeasure]:
    """The median time of a whole inspection, and of its stages."""
    inspector = opened.inspector(precision)
    inspections: list[Inspection] = []
    ms = median_ms(lambda path: inspections.append(inspector(path)), opened.scans, repeats)
    last = inspections[-repeats:]
    stages = {name: 1e3 * statistics.median(one.seconds.get(name, 0.0) for one in last) for name in last[-1].seconds}
    yield BoundMeasure(raw_name(precision), ms, bar=bar, stages_ms=stages)


def streamed(
    opened: OpenedLine, precision: str, written: Written, files: int, bar: float | None
) -> Iterator[BoundMeasure]:
    """Parts a second of many files, which are the held-out ones again and again."""
    inspector = opened.inspector(precision)
    with tempfile.TemporaryDirectory() as scratch:
        copies = [Path(scratch) / f"{number:04d}.tiff" for number in range(files)]
        for copy, scan in zip(copies, cycle(opened.scans), strict=False):
            copy.write_bytes(scan.read_bytes())
        seconds_of_stream(inspector, copies[: files // 4], Path(scratch) / "warm", written)
        seconds = seconds_of_stream(inspector, copies, Path(scratch) / "out", written)
    remark = f"{files} raw files of {len(opened.scans)} parts"
    yield BoundMeasure(offline_name(precision, written), files / seconds, "parts/s", bar=bar, remark=remark)


def seconds_of_stream(inspector: Inspector, scans: Sequence[Path], out: Path, written: Written) -> float:
    """From the first file to the last outcome.

    Raises:
        CmdiadError: a part could not be inspected, or its files not be written.
    """
    out.mkdir()
    begin = time.perf_counter()
    for outcome in inspect_stream(inspector, scans, out, written):
        if outcome.error is not None:
            raise outcome.error
    return time.perf_counter() - begin


def first_result(opened: OpenedLine, precision: str) -> Iterator[BoundMeasure]:
    """From `Inspector.load` to the first verdict, in a process of its own."""
    arguments = [str(opened.folder / precision), opened.provider, str(opened.scans[0])]
    command = [sys.executable, "-c", FIRST_RESULT, *arguments]
    answer = subprocess.run(command, check=False, capture_output=True, text=True, env=child_environment())
    if answer.returncode != 0:
        raise RuntimeError(f"the process failed: {answer.stderr[-400:]}")
    taken = json.loads(answer.stdout.splitlines()[-1])
    size = sum(file.stat().st_size for file in (opened.folder / precision).rglob("*") if file.is_file())
    remark = f"a bundle of {size / 1e6:.0f} MB, in a new process"
    yield BoundMeasure(
        f"load to first result, {precision}", taken["s"], "s", stages_ms=taken["stages_ms"], remark=remark
    )
