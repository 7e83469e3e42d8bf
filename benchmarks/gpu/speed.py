"""How fast is it? Stages by the device's events, the whole by the host's clock, beside the method in plain torch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from cmdiad.benchmarks.gpu.answers import prepared_parts
from cmdiad.benchmarks.gpu.full_size import PRECISIONS, FullSizeLine
from cmdiad.benchmarks.gpu.measures import Measure
from cmdiad.benchmarks.shared.paper_pipeline import PaperBank, PaperPipeline
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.choices import Written
from cmdiad.runtime.engines.device import Buffer, Device, Kernel
from cmdiad.runtime.engines.device_session import BoundRun, DeviceSession, DeviceTensor
from cmdiad.runtime.engines.opening import open_device_session
from cmdiad.runtime.engines.plan_check import LINE_ROLE
from cmdiad.runtime.engines.providers import PROVIDERS
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.line.device_feed import DeviceFeed
from cmdiad.runtime.line_graph import LineGraph, open_line_graph
from cmdiad.runtime.patches.routes import route_of
from cmdiad.runtime.preparation.prepared_part import PreparedPart
from cmdiad.runtime.stream import inspect_stream
from cmdiad.runtime.timing import StageTimes
from cmdiad.runtime.verdict.decision import Decision, NormalizedBank

REPEATS, WARM_UP = 50, 4
BATCHES = (1, 2, 4, 8)
BARS_MS = {1: 15.0, 8: 6.0}
FILE_MS, PARTS_PER_SECOND, TIMES_THE_PAPER = 55.0, 50.0, 10.0
STREAMED = 200


def median_ms(run: Callable[[], Any], repeats: int = REPEATS, warm_up: int = WARM_UP) -> float:
    """The median time of a call, after some that are not counted."""
    for _ in range(warm_up):
        run()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times)


class EventDevice:
    """A device that notes how long everything takes that is queued on it, by CUDA events.

    Attributes:
        spans: (what, begin, end), in order, until `milliseconds`.
    """

    def __init__(self, device: Device) -> None:
        """Watch a device."""
        self._device = device
        self._stream = torch.cuda.ExternalStream(device.stream)  # type: ignore[no-untyped-call]
        self.spans: list[tuple[str, Any, Any]] = []

    @property
    def name(self) -> str:
        """See `Device`."""
        return self._device.name

    @property
    def stream(self) -> int:
        """See `Device`."""
        return self._device.stream

    def allocate(self, nbytes: int) -> Buffer:
        """See `Device`."""
        return self._device.allocate(nbytes)

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """See `Device`."""
        return self._device.pinned(shape, dtype)

    def upload(self, host: npt.NDArray[Any], buffer: Buffer, offset: int = 0) -> None:
        """See `Device`."""
        self.watch("copies up", lambda: self._device.upload(host, buffer, offset))

    def download(self, buffer: Buffer, host: npt.NDArray[Any], offset: int = 0) -> None:
        """See `Device`."""
        self.watch("copies down", lambda: self._device.download(buffer, host, offset))

    def launch(self, kernel: Kernel, grid: tuple[int, int], arguments: Sequence[Buffer | np.generic]) -> None:
        """See `Device`."""
        self.watch(kernel.function, lambda: self._device.launch(kernel, grid, arguments))

    def synchronize(self) -> None:
        """See `Device`."""
        self._device.synchronize()

    def watch(self, what: str, queue: Callable[[], None]) -> None:
        """Put events around what is queued."""
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        begin.record(self._stream)
        queue()
        end.record(self._stream)
        self.spans.append((what, begin, end))

    def milliseconds(self) -> dict[str, float]:
        """How long everything took since the last call, by what it was."""
        self._device.synchronize()
        total: dict[str, float] = {}
        for what, begin, end in self.spans:
            total[what] = total.get(what, 0.0) + begin.elapsed_time(end)
        self.spans.clear()
        return total


class EventSession:
    """A session whose runs are among the device's events."""

    def __init__(self, session: DeviceSession, device: EventDevice) -> None:
        """Watch a session."""
        self._session, self._device = session, device

    def bind(self, inputs: dict[str, DeviceTensor], outputs: dict[str, DeviceTensor]) -> BoundRun:
        """See `DeviceSession`."""
        return self._session.bind(inputs, outputs)

    def run(self, bound: BoundRun) -> None:
        """See `DeviceSession`."""
        self._device.watch("line graph", lambda: self._session.run(bound))


def stage_measures(line: FullSizeLine, provider: str, device: Device, parts: list[PreparedPart]) -> Iterator[Measure]:
    """Every step on the device, a part, in batches of one and eight."""
    for precision in PRECISIONS:
        bundle = line.bundles[precision]
        manifest, watched = bundle.manifest, EventDevice(device)
        assert manifest.line_graph is not None
        opened = open_device_session(bundle, LINE_ROLE, PROVIDERS[provider], watched, None, None)
        session: Any = EventSession(opened, watched)
        feed = DeviceFeed(manifest.line_graph, manifest.grouping, session, watched)
        graph = LineGraph(route_of(manifest.route, manifest.main), feed, Decision.load(bundle))
        ready = [graph.ready(part, StageTimes()) for part in parts]
        for size in (1, 8):
            taken: dict[str, list[float]] = {}
            for turn in range(WARM_UP + 20):
                graph.run_batch(ready[:size], StageTimes())
                for what, spent in watched.milliseconds().items():
                    if turn >= WARM_UP:
                        taken.setdefault(what, []).append(spent / size)
            for what, times in taken.items():
                yield Measure(f"{what}, {precision}, batch {size}", statistics.median(times), "ms a part")


def part_measures(
    line: FullSizeLine, provider: str, parts: list[PreparedPart], paper_ms: float | None
) -> Iterator[Measure]:
    """Points to score and map by the host's clock."""
    for precision in PRECISIONS:
        for captured in (None, False) if provider != "cpu" else (False,):
            graph = open_line_graph(line.bundles[precision], provider, cuda_graph=captured)
            for size in BATCHES:
                batch = parts[:size]

                def run(batch: list[PreparedPart] = batch, graph: LineGraph = graph) -> None:
                    graph.run_batch([graph.ready(part, StageTimes()) for part in batch], StageTimes())

                spent = median_ms(run, *((REPEATS,) if provider != "cpu" else (1, 1))) / size
                captured_name = "CUDA graphs" if captured is None else "no CUDA graphs"
                name = f"points to score and map, {precision}, batch {size}, {captured_name}"
                bar = BARS_MS.get(size) if captured is None else None
                yield Measure(name, spent, "ms a part", bar, baseline="torch, fp32", baseline_figure=paper_ms)


def file_measures(line: FullSizeLine, provider: str, paper_ms: float | None) -> Iterator[Measure]:
    """A raw file to its verdict, one after the other, and the first one after a start."""
    for precision in PRECISIONS:
        begin = time.perf_counter()
        with Inspector(open_bundle(line.bundles[precision].path), provider, allow_any_size=True) as inspector:
            inspector(line.held_out[0])
            yield Measure(f"start to first result, {precision}", time.perf_counter() - begin, "s")
            stages: dict[str, float] = {}

            def run(inspector: Inspector = inspector, stages: dict[str, float] = stages) -> None:
                stages.update(inspector(line.held_out[0]).seconds)

            spent = median_ms(run, *((REPEATS,) if provider != "cpu" else (1, 1)))
            remark = ", ".join(f"{stage} {1e3 * seconds:.1f}" for stage, seconds in stages.items())
            name, baseline = f"raw 400 x 400 file to verdict, {precision}", "torch, fp32, with our preprocessing"
            yield Measure(name, spent, "ms", FILE_MS, baseline=baseline, baseline_figure=paper_ms, remark=remark)


def stream_measures(line: FullSizeLine, provider: str, folder: Path) -> Iterator[Measure]:
    """Parts a second of many files."""
    files = (line.held_out * (STREAMED // len(line.held_out) + 1))[: STREAMED if provider != "cpu" else 4]
    bundle, choices = line.bundles["fp16"], tuple[Written, ...](("none", "all"))
    batch = 8 if provider != "cpu" else 1
    with Inspector(bundle, provider, batch=batch, allow_any_size=True) as inspector:
        list(inspect_stream(inspector, files[: 2 * batch]))
        for written in choices:
            begin = time.perf_counter()
            outcomes = list(inspect_stream(inspector, files, folder, written))
            rate = len(files) / (time.perf_counter() - begin)
            failed = [outcome.error for outcome in outcomes if outcome.error is not None]
            remark = f"{len(files)} files, batch {batch}" + (f"; {len(failed)} failed: {failed[0]}" if failed else "")
            name = f"offline, fp16, heat maps: {written}"
            bar = PARTS_PER_SECOND if written == "none" else None
            yield Measure(name, 0.0 if failed else rate, "parts/s", bar, larger_is_better=True, remark=remark)


def paper_measures(
    line: FullSizeLine, provider: str, part: PreparedPart, figures: dict[str, float]
) -> Iterator[Measure]:
    """The method in plain torch, also put into `figures`: from prepared points, and from a file that we read for it."""
    bundle, device = line.bundles["fp32"], "cpu" if provider == "cpu" else "cuda"
    decision = Decision.load(bundle)
    assert decision.second is not None
    assert decision.fusion is not None
    banks = paper_bank(decision.main, device), paper_bank(decision.second, device)
    networks = line.networks
    pipeline = PaperPipeline(networks.extractor.to(device), networks.f2f.to(device), *banks, decision.fusion)
    assert part.scan is not None
    points = part.scan.points
    one = FullSizeLine(line.bundles, line.held_out[:1], networks)
    repeats = 1 if device == "cpu" else 10
    runs: dict[str, Callable[[], Any]] = {
        "points": lambda: pipeline(points),
        "file": lambda: [pipeline(read.scan.points) for read in prepared_parts(one) if read.scan is not None],
    }
    for name, run in runs.items():
        figures[name] = median_ms(run, repeats, 1 if device == "cpu" else WARM_UP)
        yield Measure(f"the method in plain torch, from {name}", figures[name], "ms")


def paper_bank(held: NormalizedBank, device: str) -> PaperBank:
    """A bank with its mean put back, on the device."""
    rows = torch.from_numpy(held.bank.rows.astype(np.float32) + held.bank.mean).to(device)
    return PaperBank(rows, held.feature_mean, held.feature_std)


def ratio_measure(measures: Sequence[Measure]) -> Iterator[Measure]:
    """The best single-part figure as a multiple of the method in plain torch."""
    singles = [m for m in measures if m.measure.startswith("points to score") and ", batch 1," in m.measure and m.ratio]
    best = max(singles, key=lambda measure: measure.ratio or 0.0)
    yield Measure(
        "against the method in plain torch, one part at a time",
        best.ratio,
        "x",
        TIMES_THE_PAPER,
        larger_is_better=True,
        remark=best.measure,
    )
