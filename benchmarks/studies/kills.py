"""Kill `watch`, then `serve`, at random moments while parts arrive, and count what became of every part.

    python benchmarks/studies/kills.py BUNDLE SCANS... [--kills 100] [--parts 500] [--seed 0]

SCANS are files that BUNDLE inspects; they are copied into the hot folder again and again, one in twenty of them cut
short. Each process lives for a random time after its start and is ended by SIGKILL; the last one may finish. Prints one
JSON line each for watch and serve: parts, results, missing, twice, torn, out of order; for serve requests that were
answered and are not in the journal. Exit code 1 where one of these is not zero.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from cmdiad.runtime.child_python import child_environment
from cmdiad.runtime.service.arrival import PartRecord
from cmdiad.runtime.service.history import HistoryQuery, read_history

SHORTEST_LIFE, LONGEST_LIFE = 0.2, 4.0
LAST_WAIT_SECONDS = 600.0
BROKEN_EVERY = 20


def main() -> None:
    """Both, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("scans", type=Path, nargs="+")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--parts", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    failed = False
    for study in (study_watch, study_serve):
        with tempfile.TemporaryDirectory() as folder:
            line = study(Path(folder), options, chance)
        print(json.dumps(line), flush=True)
        failed |= any(line[name] for name in line if name.startswith("wrong_"))
    sys.exit(failed)


def study_watch(folder: Path, options: argparse.Namespace, chance: random.Random) -> dict[str, Any]:
    """Scans arrive by rename while `watch` is killed."""
    place, out = folder / "in", folder / "out"
    place.mkdir()
    arguments = [str(place), "--out", str(out), "--bundle", str(options.bundle.resolve()), "--settle", "0.1"]
    arriving = threading.Thread(target=arrive, args=(place, options, random.Random(options.seed)))
    arriving.start()
    begin = time.monotonic()
    kills = kill_again_and_again(["watch", *arguments], options.kills, chance)
    arriving.join()
    finish(["watch", *arguments], lambda: len(results(out)) >= options.parts)
    records = results(out)
    return {
        "measure": "watch_killed",
        "kills": kills,
        "parts": options.parts,
        "results": len(records),
        "minutes": round((time.monotonic() - begin) / 60, 1),
        **judged(records, out, [f"{number:04d}.tiff" for number in range(options.parts)]),
        "wrong_verdicts": wrong_verdicts(records),
    }


def arrive(place: Path, options: argparse.Namespace, chance: random.Random) -> None:
    """Copy scans under numbers as names, each with the last rename; about as fast as they are inspected."""
    for number in range(options.parts):
        data = chosen_scan(options.scans, number)
        half = place / f".{number}"
        half.write_bytes(data)
        half.rename(place / f"{number:04d}.tiff")
        time.sleep(chance.uniform(0, 0.4))


def chosen_scan(scans: Sequence[Path], number: int) -> bytes:
    """The content for a number; every twentieth is cut short."""
    data = scans[number % len(scans)].read_bytes()
    return data[: len(data) // 3] if number % BROKEN_EVERY == BROKEN_EVERY - 1 else data


def study_serve(folder: Path, options: argparse.Namespace, chance: random.Random) -> dict[str, Any]:
    """Requests come one after the other while `serve` is killed; whoever gets no answer asks again under a new ID."""
    port = free_port()
    file = folder / "line.toml"
    file.write_text(
        f'[line]\nout = "out"\n[[product]]\nname = "part"\nbundle = {json.dumps(str(options.bundle.resolve()))}\n'
        f"[http]\nport = {port}\n"
    )
    answered: dict[str, int] = {}
    stop = threading.Event()
    asking = threading.Thread(target=ask, args=(port, options, answered, stop))
    asking.start()
    begin = time.monotonic()
    kills = kill_again_and_again(["serve", str(file)], options.kills, chance)
    finish(["serve", str(file)], lambda: len(answered) >= options.parts)
    stop.set()
    asking.join()
    records = results(folder / "out")
    by_id = Counter(record.part_id for record in records)
    known = {record.part_id: record.number for record in records}
    return {
        "measure": "serve_killed",
        "kills": kills,
        "answered": len(answered),
        "results": len(records),
        "minutes": round((time.monotonic() - begin) / 60, 1),
        "wrong_answered_but_not_in_journal": sum(known.get(name) != number for name, number in answered.items()),
        "wrong_twice": sum(count > 1 for count in by_id.values()),
        "wrong_torn": torn_files(folder / "out"),
    }


def ask(port: int, options: argparse.Namespace, answered: dict[str, int], stop: threading.Event) -> None:
    """Ask until as many were answered as there are parts."""
    number = 0
    while len(answered) < options.parts and not stop.is_set():
        name = f"P{number:05d}"
        address = f"http://127.0.0.1:{port}/v1/inspect?part_id={name}"
        request = urllib.request.Request(address, chosen_scan(options.scans, number), method="POST")
        number += 1
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                answered[name] = json.load(response)["number"]
        except urllib.error.HTTPError as error:
            if error.code == 422:
                answered[name] = json.load(error)["number"]
        except (OSError, ValueError):
            time.sleep(0.05)


def kill_again_and_again(arguments: Sequence[str], kills: int, chance: random.Random) -> int:
    """Start a command and kill it after a random life, so often: how many were alive when they were killed."""
    alive = 0
    for _ in range(kills):
        process = started(arguments)
        time.sleep(chance.uniform(SHORTEST_LIFE, LONGEST_LIFE))
        alive += process.poll() is None
        process.kill()
        process.wait()
    return alive


def finish(arguments: Sequence[str], is_done: Any) -> None:
    """Let the command work until everything is done, and end it in good order."""
    process = started(arguments)
    deadline = time.monotonic() + LAST_WAIT_SECONDS
    while not is_done() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    process.wait()


def started(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """`cmdiad-rt` with arguments, silent."""
    command = [sys.executable, "-c", "from cmdiad.cli.line import main; main()", *arguments]
    silent = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=silent, stderr=silent, env=child_environment())


def results(out: Path) -> list[PartRecord]:
    """All results, the oldest first; none before there is a journal."""
    try:
        return list(read_history(out, HistoryQuery(limit=1_000_000)))[::-1]
    except Exception:
        return []


def judged(records: Sequence[PartRecord], out: Path, names: Sequence[str]) -> dict[str, int]:
    """What is wrong with the results of files that arrived in the order of their names."""
    count = Counter(record.scan for record in records)
    # A broken file waits for its next try, and has its number all the same.
    order = [record.scan for record in sorted(records, key=lambda record: record.number)]
    files = Counter(path.name.split("_", 1)[1] for path in out.glob("*/*_result.json"))
    return {
        "wrong_missing": sum(count[name] == 0 for name in names),
        "wrong_twice": sum(count[name] > 1 for name in names) + sum(number > 1 for number in files.values()),
        "wrong_without_file": sum(files[f"{name}_result.json"] != 1 for name in names),
        "wrong_order": sum(one > other for one, other in pairwise(order)),
        "wrong_torn": torn_files(out),
    }


def torn_files(out: Path) -> int:
    """Result files, heat maps and maps that are not whole."""
    import tifffile
    from PIL import Image

    torn = 0
    for path in out.glob("2*/*"):
        try:
            if path.suffix == ".json":
                json.loads(path.read_bytes())
            elif path.suffix == ".png":
                with Image.open(path) as image:
                    image.load()
            elif path.suffix == ".tiff":
                tifffile.imread(path)
        except Exception:
            torn += 1
    return torn


def wrong_verdicts(records: Sequence[PartRecord]) -> int:
    """Whole files that were not inspected, and broken ones that were."""
    return sum(
        (record.verdict == "error") != (int(record.scan.split(".")[0]) % BROKEN_EVERY == BROKEN_EVERY - 1)
        for record in records
    )


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
