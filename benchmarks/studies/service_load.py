"""The service under load: 10,000 requests from 8 clients, some of them broken, and a new bundle in the middle.

    python benchmarks/studies/service_load.py BUNDLE SCANS... [--requests 10000] [--clients 8] [--quick]

SCANS are files that BUNDLE inspects. `serve` runs in a process of its own and is asked over the loopback; one request
in twenty is broken (cut short, not a scan, a wrong shape, an empty body). After half of the requests another bundle,
which differs by a note in its manifest, takes the first one's place by a rename. Prints one JSON line each for what the
service adds to one inspection at a time, for what `cmdiad-rt bench` says of the same bundle and scans before it, one
part at a time and as many at once as there are clients, and for the load: answers, failures, latencies, memory (the
last tenth of the time against the first one after the first 500 requests or a quarter, in which every thread meets its
largest part). Exit code 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from cmdiad.benchmarks.studies.kills import free_port, started
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.files.json_encoding import encode_json
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.proc import proc_field

BROKEN_EVERY = 20
MOST_ADDED_MS, MOST_ADDED_SHARE = 5.0, 0.05
MOST_MEMORY_GROWTH = 0.03
PAIRS = 60
WARM_UP = 100
ENOUGH_FOR_P99 = 662


class Load:
    """What the clients saw."""

    def __init__(self, scans: Sequence[bytes], port: int, requests: int) -> None:
        self.scans, self.port, self.requests = scans, port, requests
        self.codes: Counter[tuple[bool, int]] = Counter()
        self.seconds: list[float] = []
        self.digests: set[str] = set()
        self._next, self._lock = 0, threading.Lock()

    @property
    def done(self) -> int:
        """How many requests were begun."""
        return self._next

    def run(self) -> None:
        """One client: ask until all is asked."""
        while True:
            with self._lock:
                number, self._next = self._next, self._next + 1
            if number >= self.requests:
                return
            is_broken = number % BROKEN_EVERY == BROKEN_EVERY - 1
            begin = time.perf_counter()
            code, body = asked(self.port, *(self._broken(number) if is_broken else self._good(number)))
            seconds = time.perf_counter() - begin
            with self._lock:
                self.codes[(is_broken, code)] += 1
                if not is_broken:
                    self.seconds.append(seconds)
                    self.digests.add(json.loads(body).get("bundle") or "" if code == 200 else "")

    def _good(self, number: int) -> tuple[str, bytes, str]:
        return f"?part_id=L{number}", self.scans[number % len(self.scans)], "application/octet-stream"

    def _broken(self, number: int) -> tuple[str, bytes, str]:
        scan = self.scans[number % len(self.scans)]
        kinds = [
            ("", scan[: len(scan) // 2], "application/octet-stream"),
            ("", b"this is not a scan", "application/octet-stream"),
            ("?shape=100,100", scan[:1000], "application/x-float32"),
            ("", b"", "application/octet-stream"),
        ]
        return kinds[number // BROKEN_EVERY % len(kinds)]


def main() -> None:
    """Serve, load, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("scans", type=Path, nargs="+")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="400 requests: does everything run?")
    options = parser.parse_args()
    options.requests = 400 if options.quick else options.requests
    scans = [path.read_bytes() for path in options.scans]
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        shutil.copytree(options.bundle, folder / "bundle")
        (folder / "line.toml").write_text(
            f'[line]\nout = "out"\nheatmaps = "none"\n[[product]]\nname = "part"\nbundle = "bundle"\n'
            f"[http]\nport = {port}\ntimeout_seconds = 120\n[history]\nmax_gb = 1000\nmin_free_gb = 0\n"
        )
        benched = bench(options, folder)
        process = started(["serve", str(folder / "line.toml")])
        try:
            wait_until_ready(port)
            added = service_time(options.bundle, scans, port)
            loaded = load(options, scans, port, folder, process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(120)
    print(json.dumps(added))
    print(json.dumps(benched))
    print(json.dumps(loaded))
    sys.exit(not (added["holds"] and loaded["holds"]))


def load(
    options: argparse.Namespace, scans: Sequence[bytes], port: int, folder: Path, process: subprocess.Popen[bytes]
) -> dict[str, Any]:
    """All requests, with a new bundle in the middle."""
    clients = Load(scans, port, options.requests)
    threads = [threading.Thread(target=clients.run) for _ in range(options.clients)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    resident: list[float] = []
    swapped = False
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.5)
        if clients.done > min(WARM_UP * 5, options.requests // 4):
            resident.append(megabytes(process.pid))
        if not swapped and clients.done > options.requests // 2:
            swapped = True
            put_in_place(folder)
    seconds = time.perf_counter() - begin
    codes = {
        f"{'broken' if broken else 'good'}_{code}": count for (broken, code), count in sorted(clients.codes.items())
    }
    tenth = max(1, len(resident) // 10)
    growth = statistics.median(resident[-tenth:]) / statistics.median(resident[:tenth]) - 1
    good = sum(count for (broken, _), count in clients.codes.items() if not broken)
    failed = good - clients.codes[(False, 200)]
    p50, p99 = (1e3 * float(value) for value in np.percentile(clients.seconds, (50, 99)))
    return {
        "measure": "service_load",
        "requests": options.requests,
        "clients": options.clients,
        "answers": codes,
        "good_not_answered": failed,
        "bundles_seen": len(clients.digests - {""}),
        "parts_per_second": round(options.requests / seconds, 2),
        "p50_ms": round(p50, 1),
        "p99_ms": round(p99, 1),
        "resident_first_mb": round(statistics.median(resident[:tenth]), 1),
        "resident_last_mb": round(statistics.median(resident[-tenth:]), 1),
        "resident_most_mb": round(max(resident), 1),
        "memory_growth": round(growth, 4),
        "most_memory_growth": MOST_MEMORY_GROWTH,
        "holds": failed == 0 and growth <= MOST_MEMORY_GROWTH and len(clients.digests - {""}) == 2,
    }


def bench(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Median and 99th percentile by `cmdiad-rt bench`: one part at a time, and as many at once as there are clients."""
    command = [
        *("bench", "--bundle", str(options.bundle), "--heatmaps", "none", "--out", str(folder / "bench"), "--quiet"),
        *("--scenario", "single-stream,multi-stream", "--streams", str(options.clients)),
        *("--samples", str(ENOUGH_FOR_P99 if options.requests >= 1000 else 64)),
        *(argument for path in options.scans for argument in ("--scans", str(path))),
    ]
    if started(command).wait():
        raise SystemExit("cmdiad-rt bench failed: run it alone to see why")
    report = json.loads((folder / "bench" / "report.json").read_bytes())
    line: dict[str, Any] = {"measure": "bench_before_the_load"}
    for result in report["outcomes"][0]["results"]:
        name, summary = result["scenario"]["name"].replace("-", "_"), result["summary"]
        for key in ("p50", "p99"):
            seconds = summary[f"{key}_s"]
            line[f"{name}_{key}_ms"] = None if seconds is None else round(1e3 * seconds, 1)
    return line


def service_time(bundle: Path, scans: Sequence[bytes], port: int) -> dict[str, Any]:
    """One inspection at a time, by the service and without it in turns: what the service adds.

    Requests go over one connection, as a cell's controller keeps it; what is compared with is the verdict as JSON.
    """
    alone, served = [], []
    headers = {"Content-Type": "application/octet-stream"}
    with Inspector.load(bundle) as inspector, closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        for number in range(PAIRS + 5):
            scan = scans[number % len(scans)]
            begin = time.perf_counter()
            encode_json(inspector.finish(inspector.read_bytes(scan)).as_json())
            middle = time.perf_counter()
            connection.request("POST", "/v1/inspect", scan, headers)
            connection.getresponse().read()
            end = time.perf_counter()
            if number >= 5:
                alone.append(1e3 * (middle - begin))
                served.append(1e3 * (end - middle))
    added = statistics.median(served) - statistics.median(alone)
    allowed = MOST_ADDED_MS + MOST_ADDED_SHARE * statistics.median(alone)
    return {
        "measure": "service_adds",
        "alone_ms": round(statistics.median(alone), 2),
        "served_ms": round(statistics.median(served), 2),
        "added_ms": round(added, 2),
        "allowed_ms": round(allowed, 2),
        "holds": added <= allowed,
    }


def put_in_place(folder: Path) -> None:
    """Another bundle, the same with another threshold, takes the place of the one that serves."""
    import msgspec
    from cmdiad.runtime.bundle import manifest as manifest_format
    from cmdiad.runtime.files.atomic import atomic_write_bytes

    manifest = open_bundle(folder / "bundle").manifest
    changed = msgspec.structs.replace(manifest, provenance={**manifest.provenance, "note": "the same again"})
    atomic_write_bytes(folder / "bundle" / manifest_format.NAME, manifest_format.encode(changed))


def asked(port: int, query: str, body: bytes, kind: str) -> tuple[int, bytes]:
    """One request, repeated where the service says that it is busy: status and body; 0 where there was no answer."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/inspect{query}", body, {"Content-Type": kind}, method="POST"
    )
    while True:
        try:
            with urllib.request.urlopen(request, timeout=300) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                if error.code != 503:
                    return error.code, error.read()
            time.sleep(float(error.headers.get("Retry-After", "1")))
        except OSError:
            return 0, b""


def wait_until_ready(port: int) -> None:
    """Until `/readyz` says so."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the service did not begin")


def megabytes(process: int) -> float:
    """Resident memory."""
    return int((proc_field(f"{process}/status", "VmRSS") or "0").split()[0]) / 1024


if __name__ == "__main__":
    main()
