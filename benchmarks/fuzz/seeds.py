"""Write the corpus: a small file a format, made by our own writers.

    python benchmarks/fuzz/seeds.py

What it writes to benchmarks/fuzz/corpus is in the repository; archives and journals hold no time of day, so that the
same versions write the same bytes.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
import zlib
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from cmdiad.benchmarks.fuzz.scan_seeds import image_seeds, npy_of, scan_seeds, scene

CORPUS = Path(__file__).resolve().parent / "corpus"


def main() -> None:
    """Everything anew."""
    shutil.rmtree(CORPUS, ignore_errors=True)
    makers = {
        "scans": scan_seeds,
        "images": image_seeds,
        "manifests": manifest_seeds,
        "signatures": signature_seeds,
        "bundles": bundle_seeds,
        "requests": request_seeds,
        "line_files": line_file_seeds,
        "settings": settings_seeds,
        "keys": key_seeds,
        "journals": journal_seeds,
        "audit": audit_seeds,
        "drift_states": drift_seeds,
    }
    for target, make in makers.items():
        for name, content in make().items():
            path = CORPUS / target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    total = sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file())
    print(json.dumps({"files": sum(path.is_file() for path in CORPUS.rglob("*")), "bytes": total}))


def _manifest(**changes: Any) -> Any:
    from cmdiad.runtime.bundle.manifest import Bank, Calibration, Manifest, Network, Tensor
    from cmdiad.runtime.bundle.parameters import Grouping, Preprocessing, Threshold

    tensor = Tensor(name="points", shape=["batch", 1024, 3], dtype="float32")
    network = Network(file="extractor.onnx", architecture="point-mae", parameters=9, inputs=[tensor], outputs=[tensor])
    threshold = Threshold(
        value=1.0,
        method="order-statistic",
        n_scans=9,
        scans_needed=9,
        false_reject_rate=0.1,
        rate_low=0.0,
        rate_high=0.3,
    )
    calibration = Calibration(
        n_scans=9,
        data_digest="1" * 64,
        seed=0,
        coreset_ratio=0.1,
        threshold=threshold,
        pixel_threshold=threshold,
    )
    bank = Bank(files={"rows": "bank_main.npy"}, n_rows=6, dim=4, metric="l2", feature_mean=0.0, feature_std=1.0)
    fields: dict[str, Any] = {
        "product": "part",
        "route": "single",
        "main": "pc",
        "precision": "fp32",
        "preprocessing": Preprocessing(),
        "grouping": Grouping(),
        "networks": {"extractor": network},
        "banks": {"main": bank},
        "calibration": calibration,
        "metrics": {"i_auroc": 0.9},
    }
    return Manifest(**{**fields, **changes})


def manifest_seeds() -> dict[str, bytes]:
    """A manifest that says something everywhere."""
    from cmdiad.runtime.bundle.manifest import encode

    return {"manifest.json": encode(_manifest(files={"bank_main.npy": "2" * 64}))}


def signature_seeds() -> dict[str, bytes]:
    """Two signatures, one of the key that the target trusts; neither is right."""
    from cmdiad.runtime.bundle.key_files import PublicKey
    from cmdiad.runtime.bundle.signature import BundleSignature, Signing, encode_signatures, manifest_digest

    signed = [
        Signing(
            key_id=key_id,
            manifest_digest=manifest_digest(b"{}"),
            signer="A. Smith",
            comment="line 7",
            date="2026-01-01",
        )
        for key_id in (PublicKey(bytes(32)).key_id, "0123456789abcdef")
    ]
    return {
        "signature.json": encode_signatures(
            [BundleSignature(signed=text, signature="A" * 86 + "==") for text in signed]
        )
    }


def bundle_seeds() -> dict[str, bytes]:
    """Small archives, one of them signed."""
    from cmdiad.runtime.bundle.writing import write_bundle

    rows = np.arange(24, dtype=np.float32).reshape(6, 4)
    contents: Mapping[str, Any] = {"bank_main.npy": rows, "extractor.onnx": b"abc" * 30, "golden/normal.tiff": b"II*\0"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle.cmdiad"
        write_bundle(path, _manifest(), contents)
        plain = path.read_bytes()
    from cmdiad.benchmarks.fuzz.bundle_target import archive_of, members_of

    signed = [*members_of(plain), ("signature.json", signature_seeds()["signature.json"])]
    return {"plain.zip": plain, "signed.zip": archive_of(signed)}


def request_seeds() -> dict[str, bytes]:
    """Every path, and every kind of body."""
    host = "host: localhost"
    head = f"POST /v1/inspect?heatmap=none&part_id=A-1\n{host}\ncontent-type: "
    form = b'--b\r\nContent-Disposition: form-data; name="scan"; filename="a.npy"\r\n\r\n'
    small = npy_of(scene(4, 5))
    numbers = scene(4, 5).tobytes()
    token = "authorization: Bearer a-token-that-is-long-enough"
    gets = {
        "history": "/v1/history?part_id=A*&verdict=good&since=1&limit=5",
        "part": "/v1/parts/1",
        "heatmap": "/v1/parts/1/heatmap",
        "bundles": "/v1/bundles",
        "status": "/v1/status",
        "metrics": "/metrics",
        "page": "/",
        "ready": "/readyz",
        "events": "/v1/events",
    }
    requests = {name: f"GET {path}\n{host}\n{token}\n\n".encode() for name, path in gets.items()}
    return {
        **requests,
        "file": f"{head}application/octet-stream\n\n".encode() + small,
        "word": f"{head}text/plain\n\ngood".encode(),
        "numbers": f"POST /v1/inspect?shape=4,5\n{host}\ncontent-type: application/x-float32\n\n".encode() + numbers,
        "form": f"{head}multipart/form-data; boundary=b\ncontent-length: {len(form + small) + 9}\n\n".encode()
        + form
        + small
        + b"\r\n--b--\r\n",
        "login": f"POST /v1/login\n{host}\n\na-token-that-is-long-enough".encode(),
        "acknowledge": f"POST /v1/drift/acknowledge?product=thing&measure=score\n{host}\n\n".encode(),
    }


def line_file_seeds() -> dict[str, bytes]:
    """A line file with every table."""
    text = """[line]
out = "inspections"
threads = 2
heatmaps = "all"
retry_seconds = 2.5
require_signature = ["a.pub"]

[[product]]
name = "flange"
bundle = "flange.cmdiad"
threshold = 1.5

[[folder]]
path = "in"
product = "flange"
after = "move"
done = "done"

[http]
host = "127.0.0.1"
port = 8080
max_request_mb = 256.0

[[mqtt]]
host = "broker"
topic = "cmdiad/line"

[[webhook]]
url = "https://example.org/x"
verdicts = ["defect", "error"]

[history]
keep_days = 90

[log]
level = "info"
"""
    return {"line.toml": text.encode()}


def settings_seeds() -> dict[str, bytes]:
    """A settings file with every key."""
    text = 'normalization = "reference"\nprojection_eps = 0.5\nnu = 0.3\nsvm_iterations = 200\n'
    return {"settings.toml": text.encode()}


def key_seeds() -> dict[str, bytes]:
    """A public key."""
    from cmdiad.runtime.bundle.key_files import PublicKey

    return {"key.pub": PublicKey(bytes(range(32))).pem()}


def journal_seeds() -> dict[str, bytes]:
    """A journal with a finished part, a waiting one, a delivery and a note."""
    from cmdiad.runtime.service.arrival import Accepted, Arrival, FileVersion, PartRecord
    from cmdiad.runtime.service.journal import Journal

    with tempfile.TemporaryDirectory() as folder:
        with closing(Journal(Path(folder))) as journal:
            arrivals = [
                Arrival("folder", name, Path(name), version=FileVersion(name, 5, 7)) for name in ("a.tiff", "b.tiff")
            ]
            first, _ = journal.accept(arrivals, at=1.0)
            record = PartRecord(
                number=first,
                source="folder",
                scan="a.tiff",
                part_id="A-1",
                product="thing",
                bundle="d" * 64,
                accepted_at=1.0,
                finished_at=2.0,
                verdict="good",
                score=0.5,
                threshold=1.0,
                result={"tries": 1, "files": {"heatmap": "a.png"}},
            )
            journal.finish(Accepted(first, arrivals[0], 1.0), record, ["mqtt"])
            journal.keep_notes({"drift thing": "1 {}"})
        with closing(sqlite3.connect(Path(folder) / "journal.sqlite")) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("VACUUM")
            return {"journal.sqlite": connection.serialize()}


def audit_seeds() -> dict[str, bytes]:
    """Two lines of an audit trail."""
    from cmdiad.runtime.files.audit import AUDIT_FILE, AuditedScan, AuditEntry, append_audit

    entry = AuditEntry(
        when_utc="2026-01-01T00:00:00+00:00",
        user="smith",
        host="line7",
        action="update",
        command=["cmdiad", "calibrate"],
        bundle_before="0" * 64,
        scans=[AuditedScan(name="a.tiff", sha256="1" * 64)],
        details={"why": "new lamp"},
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / AUDIT_FILE
        for _ in range(2):
            append_audit(path, entry)
        return {AUDIT_FILE: path.read_bytes()}


def drift_seeds() -> dict[str, bytes]:
    """The state after a few parts."""
    from cmdiad.runtime.health.drift_monitor import DriftMonitor
    from cmdiad.runtime.health.measures import SENSOR_MEASURES

    monitor = DriftMonitor("0" * 64, None)
    for number in range(12):
        values = {name: float(zlib.crc32(f"{name} {number}".encode()) % 97) for name in SENSOR_MEASURES}
        monitor.update(values, score=number / 7, is_defect=number % 5 == 0)
    return {"state.json": monitor.state()}


if __name__ == "__main__":
    main()
