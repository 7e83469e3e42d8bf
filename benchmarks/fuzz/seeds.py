"""Write the corpus: a small file a format, made by our own writers.

    python benchmarks/fuzz/seeds.py

What it writes to benchmarks/fuzz/corpus is in the repository; archives and journals hold no time of day, so that the
same versions write the same bytes.
"""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import struct
import tempfile
import zlib
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

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


def scene(height: int = 24, width: int = 32) -> npt.NDArray[np.float32]:
    """A box on a table, a few points missing: (H, W, 3) float32, metres."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    points = np.stack([columns * 0.001, rows * 0.001, np.full_like(rows, 0.5)], axis=-1)
    inside = (abs(rows - height / 2) < height / 3.5) & (abs(columns - width / 2) < width / 3.5)
    points[inside, 2] -= 0.009
    points[..., 2] += 1e-5 * np.sin(9 * rows + 7 * columns)
    points[2, 3:6] = 0
    return points.astype(np.float32)


def _tiff(pixels: npt.NDArray[Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, photometric="rgb", metadata=None, software=False, **options)
    return stream.getvalue()


def _npz(points: npt.NDArray[Any]) -> bytes:
    import zipfile

    array, stream = io.BytesIO(), io.BytesIO()
    np.save(array, points, allow_pickle=False)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("points.npy"), array.getvalue(), zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def _npy(points: npt.NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, points, allow_pickle=False)
    return stream.getvalue()


def scan_seeds() -> dict[str, bytes]:
    """Every format and storage that is read."""
    points = scene()
    small = scene(17, 18)
    planar = np.ascontiguousarray(np.moveaxis(small, -1, 0))
    millimetres = np.rint(points * 1000).astype(np.int16)
    return {
        "plain.tiff": _tiff(points),
        "zlib.tiff": _tiff(points, compression="zlib", predictor=3, rowsperstrip=5),
        "lzw_tiles.tiff": _tiff(small, compression="lzw", tile=(16, 16)),
        "planar_big.tiff": _tiff(planar, planarconfig="separate", bigtiff=True, byteorder=">"),
        "integers.tiff": _tiff(millimetres, compression="zlib"),
        "plain.npy": _npy(points),
        "fortran.npy": _npy(np.asfortranarray(small.astype(np.float64))),
        "packed.npz": _npz(points),
        **_ply_seeds(small),
        **_pcd_seeds(small),
    }


def _ply_seeds(points: npt.NDArray[np.float32]) -> dict[str, bytes]:
    height, width = points.shape[:2]
    flat = points.reshape(-1, 3)
    axes = "property float x\nproperty float y\nproperty float z\n"
    grid = f"obj_info num_cols {width}\nobj_info num_rows {height}\n"
    rows = "".join("{:g} {:g} {:g}\n".format(*point) for point in flat.tolist())
    text = f"ply\nformat ascii 1.0\n{grid}element vertex {len(flat)}\n{axes}end_header\n{rows}"
    camera = "element camera 1\nproperty int viewportx\nproperty int viewporty\n"
    big = f"ply\nformat binary_big_endian 1.0\nelement vertex {len(flat)}\n{axes}{camera}end_header\n".encode()
    ranged = (
        f"ply\nformat binary_little_endian 1.0\n{grid}element vertex {len(flat)}\n{axes}"
        f"element range_grid {len(flat)}\nproperty list uchar int vertex_indices\nend_header\n"
    ).encode()
    indices = b"".join(struct.pack("<Bi", 1, at) if at % 7 else b"\0" for at in range(len(flat)))
    lists = (
        f"ply\nformat binary_little_endian 1.0\n{grid}element marks 2\nproperty list uchar short of\nelement vertex "
        f"{len(flat)}\nproperty list uchar uchar tags\n{axes}end_header\n"
    ).encode()
    tagged = b"".join(bytes([at % 3, 7, 7][: 1 + at % 3]) + row.tobytes() for at, row in enumerate(flat))
    return {
        "text.ply": text.encode(),
        "camera.ply": big + flat.astype(">f4").tobytes() + struct.pack(">2i", width, height),
        "range_grid.ply": ranged + flat.tobytes() + indices,
        "lists.ply": lists + struct.pack("<B2hBh", 2, 1, 2, 1, 3) + tagged,
    }


def _pcd_seeds(points: npt.NDArray[np.float32]) -> dict[str, bytes]:
    import imagecodecs

    height, width = points.shape[:2]
    flat = points.reshape(-1, 3)
    head = (
        "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\n"
        f"WIDTH {width}\nHEIGHT {height}\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(flat)}\nDATA "
    )
    rows = "".join("{:g} {:g} {:g}\n".format(*point) for point in flat.tolist())
    plain = np.ascontiguousarray(flat.T).tobytes()
    packed = bytes(imagecodecs.lzf_encode(plain))
    return {
        "text.pcd": f"{head}ascii\n{rows}".encode(),
        "binary.pcd": f"{head}binary\n".encode() + flat.tobytes(),
        "packed.pcd": f"{head}binary_compressed\n".encode() + struct.pack("<II", len(packed), len(plain)) + packed,
    }


def image_seeds() -> dict[str, bytes]:
    """Every kind of image and mask."""
    drawn = np.random.default_rng(0)
    color = drawn.integers(0, 255, (20, 30, 3)).astype(np.uint8)
    color[4:15] = color[4, 5]
    mask = np.zeros((20, 30), np.uint8)
    mask[5:9, 7:12] = 255
    palette = Image.fromarray(color).quantize(7)
    saved = {
        "color.png": (Image.fromarray(color), {}),
        "mask.png": (Image.fromarray(mask), {}),
        "one_bit.png": (Image.fromarray(mask > 0), {}),
        "gray_16.png": (Image.fromarray(mask.astype(np.uint16) * 257), {}),
        "palette.png": (palette, {"transparency": 1}),
        "alpha.png": (Image.fromarray(np.dstack([color, mask])), {}),
        "plain.jpg": (Image.fromarray(color), {"quality": 60}),
        "progressive.jpg": (Image.fromarray(color), {"quality": 60, "progressive": True}),
        "color.bmp": (Image.fromarray(color), {}),
        "palette.bmp": (palette, {}),
    }
    images = {"color.tiff": _tiff(color, compression="zlib"), "plain.tiff": _tiff(color)}
    for name, (image, options) in saved.items():
        stream = io.BytesIO()
        image.save(stream, {"jpg": "JPEG", "png": "PNG", "bmp": "BMP"}[name[-3:]], **options)
        images[name] = stream.getvalue()
    return images


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
    small = _npy(scene(4, 5))
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
