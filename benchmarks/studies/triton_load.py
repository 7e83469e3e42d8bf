"""A bundle on a real Triton server, without a GPU: a swap under load, a version that must not serve, and a crash.

    CMDIAD_TRITON=ENVIRONMENT python benchmarks/studies/triton_load.py BUNDLE SCANS... [--seconds 20] [--clients 4]

ENVIRONMENT is a virtual environment of its own: `pip install nvidia-pytriton==0.7.0 onnxruntime` and the packages that
cmdiad needs. SCANS are float32 TIFFs of (H, W, 3). Half of the clients ask by HTTP and half by gRPC, half with a scan's
numbers and half with its file; one request in twenty is no scan. While they ask: another bundle is loaded as version 2;
one that fails its self-test as version 3; the model's process is killed (SIGKILL), and loaded again after a while.
Prints a table of what the clients saw in each phase, then one JSON line. Exit code 1 where a request has no outcome or
fails without a reason, an answer has another score than the same scan has here, or the failing version answers.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from cmdiad.benchmarks.shared.changed_bundles import write_changed
from cmdiad.benchmarks.shared.tables import markdown_table
from cmdiad.benchmarks.shared.triton_server import TritonProcess, client_module, site_folders, triton_server
from cmdiad.export.triton.pbtxt import TritonOptions
from cmdiad.export.triton.repository import write_repository
from cmdiad.runtime.inspector import Inspector

BROKEN_EVERY = 20
LARGEST_DIFFERENCE = 1e-3
PHASES = ("version 1", "load version 2", "version 2", "load version 3", "process killed", "load again", "loaded again")


@dataclass(frozen=True)
class AskedOnce:
    """What became of one request: `version` where there is a verdict, `error` where there is none."""

    phase: str
    begin: float
    end: float
    broken: bool
    version: str | None
    error: str | None
    difference: float


class TritonLoad:
    """Clients that ask without a pause, and note every outcome."""

    def __init__(self, model: str, scans: Sequence[Path], scores: Sequence[float], server: TritonProcess) -> None:
        self.model, self.scans, self.scores, self.server = model, scans, scores, server
        self.phase, self.outcomes, self.begun, self.ended = PHASES[0], list[AskedOnce](), 0, threading.Event()
        self._lock = threading.Lock()

    def run(self, client_number: int) -> None:
        """One client, until the load has ended."""
        kind = ("http", "grpc")[client_number % 2]
        module = client_module(kind)
        address = f"127.0.0.1:{getattr(self.server, kind)}"
        limits = {"connection_timeout": 120.0, "network_timeout": 120.0} if kind == "http" else {}
        client = module.InferenceServerClient(address, **limits)
        number = client_number
        while not self.ended.is_set():
            with self._lock:
                self.begun += 1
            outcome = self._ask(module, client, number, as_file=client_number // 2 % 2 == 1)
            with self._lock:
                self.outcomes.append(outcome)
            number += 1

    def _ask(self, module: Any, client: Any, number: int, as_file: bool) -> AskedOnce:
        phase, begin = self.phase, time.perf_counter()
        broken, place = number % BROKEN_EVERY == BROKEN_EVERY - 1, number % len(self.scans)
        version, error, difference = None, None, 0.0
        try:
            answer = client.infer(self.model, [_input(module, self.scans[place], as_file, broken)])
            response = answer.get_response()
            version = response["model_version"] if isinstance(response, dict) else response.model_version
            difference = abs(float(answer.as_numpy("SCORE")[0, 0]) - self.scores[place])
        except Exception as cause:
            error = str(cause).splitlines()[0]
        return AskedOnce(phase, begin, time.perf_counter(), broken, version, error, difference)


def main() -> None:
    """Serve, load, swap, kill, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("scans", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, default=20.0, help="between two changes")
    parser.add_argument("--clients", type=int, default=4)
    options = parser.parse_args()
    with Inspector.load(options.bundle) as inspector:
        scores = [inspector(scan).score for scan in options.scans]
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        repository = work / "models"
        (written,) = write_repository(repository, [options.bundle], TritonOptions(site=site_folders()))
        with triton_server(repository, work, [written.model]) as server:
            load = TritonLoad(written.model, options.scans, scores, server)
            clients = [threading.Thread(target=load.run, args=(number,)) for number in range(options.clients)]
            for client in clients:
                client.start()
            try:
                changes = change_under_load(load, options.bundle, repository, work, options.seconds)
            finally:
                load.ended.set()
                for client in clients:
                    client.join(150)
            batches = executed(server, written.model)
    is_good = report(load, changes, batches)
    sys.exit(0 if is_good else 1)


def change_under_load(load: TritonLoad, source: Path, repository: Path, work: Path, seconds: float) -> dict[str, Any]:
    """The phases one after the other; what each change answered and how long it took."""
    model, server, changes = load.model, load.server, dict[str, Any]()

    def loaded(bundle: Path) -> dict[str, Any]:
        write_repository(repository, [bundle], TritonOptions(site=site_folders()))
        begin = time.perf_counter()
        status, text = server.change(model, "load")
        return {"status": status, "seconds": time.perf_counter() - begin, "answer": text[:600]}

    time.sleep(seconds)
    load.phase = PHASES[1]
    changes["version 2"] = loaded(write_changed(source, work / "second", "the same again"))
    load.phase = PHASES[2]
    time.sleep(seconds)
    load.phase = PHASES[3]
    changes["version 3"] = loaded(write_changed(source, work / "third", "fails", golden_score_added=1.0))
    # The server loads the newest version there is: what failed has to go first.
    shutil.rmtree(repository / model / "3")
    load.phase = PHASES[4]
    killed = server.stubs(model)
    for process in killed:
        os.kill(process, signal.SIGKILL)
    time.sleep(seconds)
    changes["kill"] = {"killed": len(killed), "restarted_by_the_server": len(server.stubs(model))}
    load.phase = PHASES[5]
    begin = time.perf_counter()
    changes["load again"] = {"status": server.change(model, "load")[0], "seconds": time.perf_counter() - begin}
    load.phase = PHASES[6]
    time.sleep(seconds)
    return changes


def executed(server: TritonProcess, model: str) -> dict[str, int]:
    """How many requests the newest version answered, in how many batches, of which size."""
    client = client_module("http").InferenceServerClient(f"127.0.0.1:{server.http}")
    (statistic,) = client.get_inference_statistics(model)["model_stats"]
    sizes = {f"batches_of_{one['batch_size']}": one["compute_infer"]["count"] for one in statistic["batch_stats"]}
    return {"requests": statistic["inference_count"], "executions": statistic["execution_count"], **sizes}


def report(load: TritonLoad, changes: dict[str, Any], batches: dict[str, int]) -> bool:
    """Print the tables, and say whether all is as promised."""
    rows = []
    for phase in PHASES:
        of_phase = [one for one in load.outcomes if one.phase == phase]
        good = [one for one in of_phase if not one.broken]
        versions = Counter(one.version for one in good if one.version)
        refused = sum(one.error is not None for one in of_phase if one.broken)
        milliseconds = [1e3 * (one.end - one.begin) for one in good if one.version] or [0.0]
        said = " ".join(f"{version}: {count}" for version, count in sorted(versions.items()))
        failed = sum(one.error is not None for one in good)
        times = f"{statistics.median(milliseconds):.0f} / {max(milliseconds):.0f}"
        rows.append([phase, len(good), said, failed, f"{refused} of {len(of_phase) - len(good)}", times])
    headers = ["phase", "good requests", "answered by version", "failed", "no scan, refused", "ms, median / longest"]
    print(markdown_table(headers, rows))
    errors = Counter(one.error for one in load.outcomes if one.error)
    print(markdown_table(["error", "times"], [[error, count] for error, count in errors.most_common()]))
    worst = max(one.difference for one in load.outcomes)
    facts = {"without_outcome": load.begun - len(load.outcomes), "largest_difference": worst, **batches, **changes}
    print(json.dumps({"measure": "triton", **facts}))
    # Version 3's phase ends with the kill, and so do requests that were begun in it.
    before_kill = [one for one in load.outcomes if one.phase in PHASES[:3] and not one.broken]
    after = [one for one in load.outcomes if one.phase == PHASES[6] and not one.broken]
    wrong_version = any(one.version == "3" for one in load.outcomes)
    passed_broken = any(one.version for one in load.outcomes if one.broken)
    no_failure = all(one.version for one in [*before_kill, *after]) and bool(after)
    is_whole = load.begun == len(load.outcomes)
    return bool(is_whole and no_failure and worst < LARGEST_DIFFERENCE and not (wrong_version or passed_broken))


def _input(module: Any, scan: Path, as_file: bool, broken: bool) -> Any:
    if as_file:
        content = b"this is no scan" if broken else scan.read_bytes()
        tensor = module.InferInput("FILE", [1, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([[content]], np.object_))
        return tensor
    points = np.zeros((40, 40, 3), np.float32) if broken else tifffile.imread(scan).astype(np.float32)
    tensor = module.InferInput("SCAN", [1, *points.shape], "FP32")
    tensor.set_data_from_numpy(points[None])
    return tensor


if __name__ == "__main__":
    main()
