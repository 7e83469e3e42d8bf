"""Memory of a process that replaces its bundle again and again, as a service does in its months.

    python benchmarks/studies/bundle_swaps.py BUNDLE SCANS... [--swaps 9] [--parts 40] [--glibc]

Before every swap two threads inspect PARTS parts; then what is free goes back to the system, as in a service every ten
seconds. Prints one JSON line a bundle (resident memory before and after that, MB), and one with how much the last three
are larger than the first three. `--glibc` leaves the C library's own settings. Exit code 1 above 3 %.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from cmdiad.benchmarks.studies.service_load import megabytes
from cmdiad.runtime.freed_memory import bundle_off_the_heaps, keep_few_heaps, return_freed_memory
from cmdiad.runtime.inspector import Inspector

THREADS = 2
ENDS = 3  # bundles at either end that are compared
MOST_GROWTH = 0.03


def main() -> None:
    """Swap, inspect, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("scans", type=Path, nargs="+")
    parser.add_argument("--swaps", type=int, default=9)
    parser.add_argument("--parts", type=int, default=40)
    parser.add_argument("--glibc", action="store_true")
    options = parser.parse_args()
    apart: Callable[[], AbstractContextManager[None]] = nullcontext
    if not options.glibc:
        keep_few_heaps()
        apart = bundle_off_the_heaps
    resident = []
    figures = swapped(options.bundle, options.scans, options.swaps, options.parts, apart)
    for number, (before, after) in enumerate(figures):
        resident.append(after)
        print(json.dumps({"swaps": number, "mb": round(before, 1), "mb_returned": round(after, 1)}), flush=True)
    growth = statistics.median(resident[-ENDS:]) / statistics.median(resident[:ENDS]) - 1
    holds = growth <= MOST_GROWTH
    print(json.dumps({"measure": "memory_over_swaps", "growth": round(growth, 4), "bar": MOST_GROWTH, "holds": holds}))
    sys.exit(not holds)


def swapped(
    bundle: Path, scans: Sequence[Path], swaps: int, parts: int, apart: Callable[[], AbstractContextManager[None]]
) -> Iterator[tuple[float, float]]:
    """Of the first bundle and after every swap: resident memory before and after what is free was given back, MB."""
    at_work: list[Inspector] = []

    def take_over() -> None:
        with apart():
            at_work.append(Inspector.load(bundle, side_by_side=True))

    for _ in range(swaps + 1):
        # A service opens a new bundle on a thread of its own.
        opening = threading.Thread(target=take_over)
        opening.start()
        opening.join()
        if len(at_work) > 1:
            at_work.pop(0).close()
        inspect(at_work[0], list(itertools.islice(itertools.cycle(scans), parts)))
        before = megabytes(os.getpid())
        return_freed_memory()
        yield before, megabytes(os.getpid())
    at_work[0].close()


def inspect(inspector: Inspector, scans: Sequence[Path]) -> None:
    """Every scan once, on threads that end."""
    threads = [
        threading.Thread(target=lambda own=scans[first::THREADS]: [inspector(scan) for scan in own])
        for first in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
