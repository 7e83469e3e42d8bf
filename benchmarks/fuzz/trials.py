"""One process that feeds one target: bounded time and memory for every input, and what became of them.

    python benchmarks/fuzz/trials.py TARGET --runs N --seed S --work FOLDER [--seconds N] [--engine atheris|mutation]

`run.py` starts it, so that a fault that ends the process, or a hang, is a fault of one input and is kept: the input
under way lies in FOLDER/under_way before it is fed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import mmap
import os
import random
import resource
import signal
import struct
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cmdiad.benchmarks.fuzz.mutation import MOST_BYTES, damage_bytes
from cmdiad.benchmarks.fuzz.targets import TARGETS, Target

MOST_SECONDS, MOST_MB = 5.0, 1024
HANG_SECONDS = 60
CORPUS = Path(__file__).resolve().parent / "corpus"
_UNDER_WAY_BYTES = 2 * MOST_BYTES
# Beyond what is asked of it, a process that runs away must not take the machine with it.
_ADDRESS_BYTES = 6 << 30
_KEPT_OF_A_KIND = 3
_WORTH_A_LOOK_SECONDS = 0.5


class Trials:
    """Feeds inputs, and counts."""

    def __init__(self, target: Target, work: Path) -> None:
        """Reproducers go to `work`."""
        self._target, self._work = target, work
        self.runs, self.errors, self.faults = 0, Counter[str](), Counter[str]()
        self.slowest, self.peak_mb = 0.0, 0
        with (work / "under_way").open("w+b") as stream:
            stream.truncate(_UNDER_WAY_BYTES + 8)
            self._under_way = mmap.mmap(stream.fileno(), 0)
        resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_BYTES, _ADDRESS_BYTES))

    def feed(self, data: bytes) -> None:
        """One input; what it does wrong is kept with it."""
        self._under_way[:8] = len(data).to_bytes(8, "little")
        self._under_way[8 : 8 + len(data)] = data
        Path("/proc/self/clear_refs").write_text("5")
        signal.alarm(HANG_SECONDS)
        begin = time.perf_counter()
        fault = self._outcome(data)
        seconds = time.perf_counter() - begin
        signal.alarm(0)
        peak_mb = _peak_mb()
        self.runs += 1
        if seconds > max(self.slowest, _WORTH_A_LOOK_SECONDS):
            (self._work / "slowest").write_bytes(data)
        self.slowest, self.peak_mb = max(self.slowest, seconds), max(self.peak_mb, peak_mb)
        if fault is None and seconds > MOST_SECONDS:
            fault = f"slow: {seconds:.1f} s"
        if fault is None and peak_mb > MOST_MB:
            fault = f"memory: {peak_mb} MB"
        if fault is not None:
            self._keep(data, fault)

    def summary(self) -> dict[str, Any]:
        """What became of the inputs so far."""
        return {
            "runs": self.runs,
            "errors": dict(self.errors.most_common()),
            "slowest_seconds": round(self.slowest, 3),
            "peak_mb": self.peak_mb,
            "faults": sum(self.faults.values()),
            "fault_kinds": dict(self.faults.most_common(20)),
        }

    def _outcome(self, data: bytes) -> str | None:
        """None where it is read or refused as it should be, else what went wrong."""
        from cmdiad.runtime.errors import CmdiadError, InternalError

        try:
            self._target.feed(data)
        except CmdiadError as error:
            self.errors[type(error).__name__] += 1
            # A parser out of its stack is a MemoryError too; the machine's memory is said to be so.
            if isinstance(error, InternalError) or (
                isinstance(error.__cause__, MemoryError) and "memory" in str(error)
            ):
                return f"{type(error).__name__}: {error}"[:300]
            return None if str(error).strip() and "\n" not in str(error) else f"not one line: {error}"[:300]
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            return f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}: {error}"[:300]
        self.errors["read"] += 1
        return None

    def _keep(self, data: bytes, fault: str) -> None:
        kind = fault.split(": ")[0]
        self.faults[kind] += 1
        if self.faults[kind] <= _KEPT_OF_A_KIND:
            name = hashlib.sha256(data).hexdigest()[:16]
            (self._work / name).write_bytes(data)
            (self._work / f"{name}.txt").write_text(fault + "\n")


def _peak_mb() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) // 1024
    return 0


def main() -> None:
    """Feed, and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=list(TARGETS))
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--engine", choices=("atheris", "mutation"), default="mutation")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    seeds = seeds_of(options.target)
    if options.engine == "atheris":
        _feed_guided(options, seeds)
    target = TARGETS[options.target]()
    _warm_up(target, seeds)
    trials = Trials(target, options.work)
    deadline = time.monotonic() + options.seconds
    for data in mutations(target, seeds, random.Random(options.seed)):
        if trials.runs >= options.runs or time.monotonic() > deadline:
            break
        trials.feed(data)
    _finish(target, trials)


def seeds_of(name: str) -> list[bytes]:
    """The corpus of a target, in the order of the names."""
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def mutations(target: Target, seeds: Sequence[bytes], chance: random.Random) -> Any:
    """The seeds themselves, then without end what damage makes of them."""
    yield from seeds
    while True:
        data = chance.choice(seeds)
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            data = damaged(target, chance, data, seeds)
        yield data[:MOST_BYTES]


def damaged(target: Target, chance: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    """What the target's own damage makes of an input; plain damage where it does not find its way in the input."""
    try:
        return target.mutator(chance, data, seeds)
    except (ArithmeticError, LookupError, ValueError, struct.error):
        return damage_bytes(chance, data, seeds)


def _warm_up(target: Target, seeds: Sequence[bytes]) -> None:
    """What is imported with the first input is not that input's time."""
    with suppress(Exception):
        target.feed(seeds[0])


def _finish(target: Target, trials: Trials) -> None:
    print(json.dumps(trials.summary()), flush=True)
    target.close()


def _feed_guided(options: argparse.Namespace, seeds: Sequence[bytes]) -> None:
    """The same inputs, and further ones made of those that reached new code; ends the process."""
    import atheris

    with atheris.instrument_imports(include=["cmdiad.runtime", "cmdiad.calibration", "tifffile", "zipfile", "tomllib"]):
        _import_all()
    target = TARGETS[options.target]()
    _warm_up(target, seeds)
    trials = Trials(target, options.work)
    deadline = time.monotonic() + options.seconds

    def feed(data: bytes) -> None:
        if trials.runs >= options.runs or time.monotonic() > deadline:
            _finish(target, trials)
            os._exit(0)
        trials.feed(data)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() < 0.2:
            return bytes(atheris.Mutate(data, max_size))
        return damaged(target, chance, data, seeds)[:max_size]

    arguments = [sys.argv[0], f"-seed={options.seed + 1}", f"-max_len={MOST_BYTES}", "-rss_limit_mb=0", "-timeout=0"]
    arguments += ["-verbosity=0", "-len_control=0", str(CORPUS / options.target)]
    # New inputs are held in memory: the corpus in the repository stays as it is.
    arguments.insert(-1, str(_empty(options.work / "found")))
    setup: Callable[..., Any] = atheris.Setup
    setup(arguments, feed, custom_mutator=mutate)
    atheris.Fuzz()


def _empty(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _import_all() -> None:
    """What targets read with, imported while imports are instrumented."""
    import cmdiad.calibration.settings_file
    import cmdiad.runtime.bundle.reading
    import cmdiad.runtime.health.drift_monitor
    import cmdiad.runtime.preparation.prepare
    import cmdiad.runtime.sensor.scan
    import cmdiad.runtime.service.journal
    import cmdiad.runtime.service.line_file
    import cmdiad.runtime.service.web.application  # noqa: F401


if __name__ == "__main__":
    main()
