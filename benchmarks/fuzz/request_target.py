"""Requests to the line's HTTP interface, past every client and server: what the application itself makes of bytes.

An input is a request as text: a line `METHOD /path?query`, header lines, an empty line, the body. Scans in it are
really read; only the networks are left out.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import tempfile
import threading
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from cmdiad.benchmarks.fuzz.mutation import HOSTILE_WORDS, damage_bytes, damage_text

TOKEN = "a-token-that-is-long-enough"
_ALLOWED_FAILURES = (503, 504)
_PATHS = (
    *(
        "/v1/inspect",
        "/v1/history",
        "/v1/parts/1",
        "/v1/parts/1/heatmap",
        "/v1/parts/1/cloud",
        "/v1/bundles",
        "/metrics",
    ),
    *("/v1/status", "/v1/drift/acknowledge", "/v1/login", "/healthz", "/readyz", "/openapi.json", "/", "/v1/events"),
    *(
        "/v1/parts/99999999999999999999",
        "/v1/parts/-1",
        "/v1/parts/1e3/map",
        "//healthz",
        "/v1/../secret",
        "/%00",
        "/é",
    ),
    *("/v1/history/", "/v1/parts/1/heatmap/..", "/healthz?", "*", ""),
)
_KEYS = (
    "part_id",
    "product",
    "verdict",
    "bundle",
    "since",
    "until",
    "before",
    "limit",
    "heatmap",
    "shape",
    "name",
    "measure",
)
_VALUES = (
    *(
        "A*",
        "*",
        "nan",
        "inf",
        "-inf",
        "1e400",
        "9" * 30,
        "-" + "9" * 30,
        "9223372036854775808",
        "2,2",
        "2,2,3",
        "0",
        "%00",
    ),
    *(
        "%ff%fe",
        "%ED%A0%80",
        "[" * 500,
        "?" * 300,
        "x" * 60_000 + "*",
        "inline",
        "link",
        "good",
        "thing",
        "../x",
        "%0d%0a",
    ),
)
_HEADERS = (
    *(
        "host: localhost",
        "host: [::1",
        "host: a/healthz?",
        "host: evil.example",
        "host: localhost:99999999",
        "host: \xff",
    ),
    *(
        "content-length: 0",
        "content-length: -1",
        "content-length: \xb2",
        "content-length: 1e3",
        "content-length: 99999999999",
    ),
    *(
        "content-length: " + "9" * 5000,
        "transfer-encoding: chunked",
        "cookie: cmdiad_token=\xff",
        "cookie: " + ";" * 9000,
    ),
    *(
        f"authorization: Bearer {TOKEN}",
        "authorization: Bearer \xe9",
        "authorization: Basic " + "A" * 99,
        "authorization:",
    ),
    *(
        "content-type: application/x-float32",
        "content-type: multipart/form-data",
        "content-type: multipart/form-data; boundary=",
    ),
    *("content-type: multipart/form-data; boundary=" + "b" * 9000, "content-type: multipart/form-data; boundary=\xff"),
    *(
        "content-type: multipart/form-data; boundary=b; charset=punycode",
        "content-type: multipart/form-data; boundary=b; charset=\0",
    ),
    *(
        "content-type: multipart/form-data; boundary=b",
        "content-type: application/json",
        "range: bytes=0-",
        "te: trailers",
    ),
)
_FORM = b'--b\r\nContent-Disposition: form-data; name="scan"; filename="../../x"\r\n\r\ngood\r\n--b--\r\n'


class RequestTarget:
    """The application of a line whose inspector reads scans and finds every part good."""

    def __init__(self) -> None:
        """Twice the application: for this machine alone, and with a token."""
        from cmdiad.runtime.service.access import Access
        from cmdiad.runtime.service.web.application import new_application

        self._folder = tempfile.TemporaryDirectory(prefix="cmdiad-fuzz-")
        self.line = _ReadingLine(Path(self._folder.name) / "out")
        accesses = (Access(None, True), Access(hashlib.sha256(TOKEN.encode()).digest(), False))
        self._applications = [new_application(self.line, access) for access in accesses]  # type: ignore[arg-type]
        for application in self._applications:
            self.line.station.listen(partial(_counted, application.state.metrics))
        self._loop = asyncio.Runner()

    def mutator(self, chance: random.Random, data: bytes, others: Sequence[bytes], /) -> bytes:
        """Another path, query, header or body; or damaged text."""
        head, _, body = data.partition(b"\n\n")
        first, *headers = head.split(b"\n")
        method, _, address = first.partition(b" ")
        for _ in range(chance.choice((1, 1, 2, 3))):
            kind = chance.randrange(8)
            if kind == 0:
                method = chance.choice(
                    (b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"TRACE", b"", b"\xff")
                )
            elif kind == 1:
                address = chance.choice(_PATHS).encode()
            elif kind in (2, 3):
                key, value = chance.choice(_KEYS), chance.choice((*_VALUES, *HOSTILE_WORDS))
                separator = b"&" if b"?" in address else b"?"
                address += separator + f"{key}={value}".encode("utf-8", "replace").replace(b"\n", b"%0a")
            elif kind in (4, 5):
                line = chance.choice(_HEADERS).encode("latin-1")
                headers = [kept for kept in headers if kept[:6] != line[:6] or chance.random() < 0.1]
                headers.append(line)
            elif kind == 6:
                body = chance.choice((b"", _FORM, _FORM * 9, damage_bytes(chance, _FORM), bytes(99), body * 2))
            else:
                body = damage_bytes(chance, body, others)
        if chance.random() < 0.05:
            return damage_text(chance, data, others)
        return b"\n".join([method + b" " + address, *headers]) + b"\n\n" + body

    def feed(self, data: bytes) -> None:
        """See `Target`."""
        application = self._applications[zlib.crc32(data) % 2]
        status, headers, answer = self._loop.run(_answered(application, *_parsed(data)))
        assert status < 500 or status in _ALLOWED_FAILURES, (status, answer[:300])
        kind = headers.get(b"content-type", b"")
        if kind.startswith(b"application/json") and answer:
            json.loads(answer, parse_constant=_no_constant)
        if status >= 400 and answer:
            assert kind.startswith(b"application/json"), kind
        written = sorted(path.name for path in Path(self._folder.name).iterdir())
        assert written == ["out"], written
        # The page's own files are for everyone, and `id="parts"` stands in one.
        if (
            application is self._applications[1]
            and not kind.startswith(b"text/html")
            and f"Bearer {TOKEN}".encode() not in data
            and TOKEN.encode() not in data
        ):
            is_open = b"cmdiad_parts" in answer or b'"parts"' in answer or b'"products"' in answer
            assert not is_open, ("answered without the token", answer[:300])

    def close(self) -> None:
        """See `Target`."""
        self._loop.close()
        self.line.close()
        self._folder.cleanup()


def _counted(metrics: Any, record: Any, _: object) -> None:
    metrics.add(record)


def _no_constant(name: str) -> float:
    raise AssertionError(f"{name} in JSON")


def _parsed(data: bytes) -> tuple[str, bytes, list[tuple[bytes, bytes]], bytes]:
    """Method, address, headers, body."""
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    method, _, address = first.partition(b" ")
    headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    return method.decode("latin-1"), address, headers, body


async def _answered(
    application: Any, method: str, address: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> tuple[int, dict[bytes, bytes], bytes]:
    """What the application answers: status, headers, body; of a stream of events the first piece."""
    from urllib.parse import unquote

    raw_path, _, query = address.partition(b"?")
    path = unquote(raw_path.decode("latin-1"))
    application.state.is_open = path != "/v1/events"  # its stream ends with the line
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": raw_path,
        "root_path": "",
        "query_string": query,
        "headers": headers,
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8080),
    }
    pieces = [body[: len(body) // 2], body[len(body) // 2 :]]
    status, said, answer = 0, {}, b""

    async def receive() -> dict[str, Any]:
        if not pieces:
            await asyncio.sleep(0)
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status, said, answer
        if message["type"] == "http.response.start":
            status, said = message["status"], dict(message["headers"])
        else:
            answer += message.get("body", b"")

    await application(scope, receive, send)
    return status, said, answer


class _ReadingInspector:
    """Reads scans and images as the line does, and finds every part good."""

    def read_bytes(self, data: bytes, image: bytes | None = None) -> str:
        """See `Inspector.read_bytes`."""
        from cmdiad.runtime.sensor.image import decode_rgb
        from cmdiad.runtime.sensor.scan import scan_from_bytes

        if data not in (b"good", b"defect"):
            scan_from_bytes(data)
        if image is not None:
            decode_rgb(image)
        return data.decode() if data in (b"good", b"defect") else "good"

    def read_arrays(self, points: np.ndarray[Any, Any], rgb: object = None) -> str:
        """See `Inspector.read_arrays`."""
        from cmdiad.runtime.sensor.scan import scan_from_array

        scan_from_array(points)
        return "good"

    def finish(self, word: str) -> Any:
        """An inspection of a few pixels."""
        from cmdiad.benchmarks.fuzz.word_inspection import inspection_of

        return inspection_of(word)

    def close(self) -> None:
        """Nothing is held."""


class _ReadingLine:
    """As much of a `ProductionLine` as the application asks."""

    def __init__(self, out: Path) -> None:
        from cmdiad.runtime.service.journal import Journal
        from cmdiad.runtime.service.line_file import HttpTable
        from cmdiad.runtime.service.result_files import NOTHING_WANTED
        from cmdiad.runtime.service.station import Station, StationSettings

        out.mkdir()
        self.out, self.products, self.journal = out, _OneProduct(), Journal(out)
        self.file = SimpleNamespace(http=HttpTable(max_request_mb=0.5, timeout_seconds=5))
        self.health = SimpleNamespace(acknowledge=_no_measure, lamps=list)
        settings = StationSettings(out, threads=1, request_queue=4, wanted=NOTHING_WANTED)
        self.station = Station(settings, self.journal, self.products)  # type: ignore[arg-type]
        self._thread = threading.Thread(target=self.station.run, daemon=True)
        self._thread.start()

    def not_ready(self) -> list[str]:
        """See `ProductionLine.not_ready`."""
        return []

    def status(self) -> dict[str, Any]:
        """See `ProductionLine.status`."""
        return {
            "state": "ready",
            "problems": [],
            "queue": {"requests": 0, "files": 0, "under_way": 0},
            "products": [],
            "sinks": [],
            "health": [],
        }

    def close(self) -> None:
        """End the station and its journal."""
        self.station.stop()
        self._thread.join(10)
        self.journal.close()


def _no_measure(product: str, measure: str, is_new_normal: bool) -> None:
    from cmdiad.runtime.errors import UsageError

    raise UsageError(f"drift: no part of product {product!r} was inspected yet")


class _OneProduct:
    """A product whose bundle is a `_ReadingInspector`."""

    def __init__(self) -> None:
        from cmdiad.runtime.service.inspector_settings import InspectorSettings
        from cmdiad.runtime.service.products import Loaded, Product

        inspector: Any = _ReadingInspector()
        self.settings = InspectorSettings()
        self.product = Product("thing", Path("nowhere"))
        self._loaded = Loaded(inspector, "d" * 64, 0.0)

    def names(self) -> list[str]:
        """Of one product."""
        return ["thing"]

    def named(self, name: str | None) -> Any:
        """The product; `UsageError` of another name."""
        from cmdiad.runtime.errors import UsageError

        if name not in (None, "thing"):
            raise UsageError(f"there is no product {name!r} on this line: there are thing")
        return self.product

    def borrow(self, product: object) -> Any:
        """Its bundle."""
        return self._loaded

    def give_back(self, product: object, loaded: object) -> None:
        """Nothing to do."""
