"""Where the networks and the bank search stand under the device's roof (Williams et al. 2009, the roofline model)."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ...bundle.reading import Bundle
from ...engines.opening import runs_on_device
from ...engines.plan_check import LINE_ROLE
from ...engines.session import Arrays
from ...inspector import Inspector
from ...line_graph import DATA, LINE
from ...patches.pooling import foreground_patches
from ...patches.routes import EXTRACTOR, HALLUCINATOR, SECOND_EXTRACTOR
from ...preparation.prepared_part import PreparedPart
from ...threads import thread_count
from .configuration import Configuration
from .costs import network_bytes, network_flop
from .gpus import find_peaks
from .host import HostGpu
from .report import Roof, Work

SEARCH = "search"
STAGE_OF_ROLE = {EXTRACTOR: "extract", SECOND_EXTRACTOR: "extract", HALLUCINATOR: "hallucinate", LINE_ROLE: "line"}
_SIDE = 1024
_COPY_BYTES = 64 << 20
_REPEATS = 3


def measure_work(inspector: Inspector, scan: Path, stage_s: Mapping[str, float]) -> list[Work]:
    """What each network and the search do for one part.

    Args:
        inspector: opened; it inspects `scan` once more, outside every measurement.
        scan: the part.
        stage_s: measured mean seconds of the stages.
    """
    flop: dict[str, float] = defaultdict(float)
    moved: dict[str, float] = defaultdict(float)
    bundle, counted = inspector.bundle, set[str]()

    def count(role: str, inputs: Arrays, outputs: Arrays) -> None:
        counted.add(role)
        if role == LINE_ROLE and DATA in bundle.manifest.files:
            # The profiler cannot open a graph whose weights lie beside it.
            return
        model = bundle.read(LINE if role == LINE_ROLE else bundle.manifest.networks[role].file)
        flop[STAGE_OF_ROLE[role]] += network_flop(model, inputs)
        moved[STAGE_OF_ROLE[role]] += network_bytes(model, inputs, outputs)

    with inspector.observed(count):
        inspector(scan)
    if LINE_ROLE not in counted:
        for part in inspector.read(scan).parts:
            _add_search(bundle, part.prepared, flop, moved)
    return [Work(name=name, flop=flop[name], bytes=moved[name], seconds=stage_s.get(name, 0.0)) for name in flop]


def _add_search(bundle: Bundle, prepared: PreparedPart, flop: dict[str, float], moved: dict[str, float]) -> None:
    """The search of every bank; the line graph has it inside."""
    queries = int(foreground_patches(prepared.valid).sum())
    for bank in bundle.manifest.banks.values():
        flop[SEARCH] += search_flop(queries, bank.n_rows, bank.dim)
        moved[SEARCH] += 4.0 * bank.dim * (bank.n_rows + queries)


def search_flop(queries: int, rows: int, dim: int) -> float:
    """All distances of an exhaustive search; the screened search of the CPU computes fewer for the same answer."""
    return 2.0 * queries * rows * dim


def device_roof(gpu: HostGpu | None, configuration: Configuration) -> Roof | None:
    """The roof of the device that a configuration runs on: measured for the CPU, published for a GPU."""
    if not runs_on_device(configuration.provider):
        return measured_roof(thread_count(configuration.threads))
    device = None if gpu is None else find_peaks(gpu.name)
    if device is None:
        return None
    return Roof(
        flop_hz=device.peak(configuration.precision)[1],
        bytes_hz=device.bytes_hz,
        source=f"published for {device.name}: {device.source}",
    )


def measured_roof(threads: int) -> Roof:
    """Float32 matrix products and copies of this CPU, the best of three."""
    generator = np.random.default_rng(0)
    a, b = (generator.standard_normal((_SIDE, _SIDE), np.float32) for _ in range(2))
    source = np.ones(_COPY_BYTES // 4, np.float32)

    def multiply() -> None:
        a @ b

    def copy() -> None:
        source.copy()

    return Roof(
        flop_hz=threads * 2.0 * _SIDE**3 / _best_seconds(multiply, threads),
        # A copy reads and writes.
        bytes_hz=threads * 2.0 * _COPY_BYTES / _best_seconds(copy, threads),
        source=f"measured here: float32 products of {_SIDE} x {_SIDE} and copies of 64 MiB on {threads} threads",
    )


def _best_seconds(work: Callable[[], None], threads: int) -> float:
    """The shortest time in which `threads` threads each did the work once."""
    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(_REPEATS + 1):
            begin = time.perf_counter()
            for done in [pool.submit(work) for _ in range(threads)]:
                done.result()
            best = min(best, time.perf_counter() - begin)
    return best
