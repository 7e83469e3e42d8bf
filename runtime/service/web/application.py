"""The line's HTTP interface: inspections, history, bundles, health, metrics, and the live page's files."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from concurrent.futures import Future
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from fastapi import FastAPI, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ....version import __version__
from ...choices import Verdict
from ...errors import BusyError, CmdiadError, EngineError, MachineError, OutputError, ScanError, UsageError
from ...files.json_encoding import encode_json
from ...files.png import encode_png
from ..access import COOKIE, Access
from ..history import MOST_AT_ONCE, HistoryQuery, bundle_figures, part
from ..inspecting import Answered
from ..production_line import ProductionLine
from .bodies import HeldBodies, arrival_of
from .clouds import MOST_CLOUDS, Clouds
from .events import Events
from .line_metrics import LineMetrics
from .page_files import PAGE_FILES, page_file

_RETRY_SECONDS = "1"
_STATUS = {ScanError: 422, UsageError: 400, BusyError: 503, MachineError: 503, OutputError: 503, EngineError: 503}
_Number = Annotated[int, PathParameter(ge=0, le=2**63 - 1)]
_Word = Annotated[str | None, Query(max_length=200)]
_Before = Annotated[int | None, Query(ge=0, le=2**63 - 1)]
_Time = Annotated[float | None, Query(allow_inf_nan=False)]
_KINDS = {"heatmap": "image/png", "map": "image/tiff", "cloud": "application/octet-stream"}
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
}
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN_PATHS = frozenset({"/healthz", "/readyz", "/v1/login", *PAGE_FILES})

Picture = Literal["none", "inline", "link"]


def new_application(line: ProductionLine, access: Access) -> FastAPI:
    """The application of a line; `events` and `metrics` must be told its results."""
    # No redirect: its address would be made of the Host header.
    app = FastAPI(
        title="cmdiad line",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
    )
    app.state.line, app.state.access = line, access
    app.state.bodies = HeldBodies()
    app.state.events, app.state.metrics, app.state.is_open = Events(), LineMetrics(line), True
    app.state.clouds = Clouds()
    app.add_middleware(_Guarded)
    app.exception_handler(CmdiadError)(_refused)
    app.exception_handler(HTTPException)(_http_refused)
    app.exception_handler(RequestValidationError)(_senseless)
    _add_inspections(app)
    _add_points(app)
    _add_results(app)
    _add_one_result(app)
    _add_line(app)
    _add_health(app)
    _add_page(app)
    return app


def _add_inspections(app: FastAPI) -> None:
    line: ProductionLine = app.state.line
    http = line.file.http

    @app.post("/v1/inspect", summary="Inspect one part and wait for its verdict.")
    async def inspect(request: Request, heatmap: Picture = "link") -> Response:
        """The body is a scan's file, bare float32 numbers (application/x-float32, ?shape=H,W), or a form with `scan`.

        `part_id`, `product` and `name` are parameters of the address.
        """
        if not app.state.is_open:
            raise BusyError("the line is stopping: try again in a moment")
        most_bytes = int(http.max_request_mb * 1e6)
        with app.state.bodies.held(request, most_bytes):
            arrival = await arrival_of(request, most_bytes, http.timeout_seconds)
            answered = await _verdict(line.station.submit(arrival), http.timeout_seconds)
        # A picture takes longer to draw than other requests should wait.
        return (
            await asyncio.to_thread(_answer, answered, heatmap) if heatmap == "inline" else _answer(answered, heatmap)
        )


async def _verdict(submitted: Future[Answered], patience_seconds: float) -> Answered:
    waiting = asyncio.wrap_future(submitted)
    try:
        async with asyncio.timeout(patience_seconds):
            return await asyncio.shield(waiting)
    except TimeoutError:
        waiting.add_done_callback(lambda answer: answer.exception())
        raise HTTPException(504, f"there was no verdict within {patience_seconds:g} s: it is in the history") from None


def _answer(answered: Answered, heatmap: Picture) -> Response:
    body: dict[str, Any] = msgspec.to_builtins(answered.record)
    if heatmap == "inline" and answered.inspection is not None:
        body["heatmap_png_base64"] = base64.b64encode(encode_png(answered.inspection.heatmap())).decode()
    if heatmap == "link" and "heatmap" in answered.record.result.get("files", {}):
        body["heatmap"] = f"/v1/parts/{answered.record.number}/heatmap"
    return _json(body, 422 if answered.record.verdict == "error" else 200)


def _add_points(app: FastAPI) -> None:
    clouds: Clouds = app.state.clouds

    @app.get("/v1/parts/{number}/points", summary="The points of one of the newest results, for a 3D view.")
    def points(number: int) -> Response:
        """(N, 4) little-endian float32: x, y, z in meters from the part's center, anomaly over the pixel threshold."""
        content = clouds.points(number)
        if content is None:
            raise HTTPException(
                404, f"the points of part {number} are not here: those of the last {MOST_CLOUDS} scans are kept"
            )
        return Response(content, media_type="application/octet-stream")


def _add_results(app: FastAPI) -> None:
    line: ProductionLine = app.state.line

    @app.get("/v1/history", summary="Results, the newest first.")
    def history(
        part_id: _Word = None,
        product: _Word = None,
        verdict: Verdict | None = None,
        bundle: _Word = None,
        since: _Time = None,
        until: _Time = None,
        before: _Before = None,
        limit: Annotated[int, Query(ge=1, le=MOST_AT_ONCE)] = 100,
    ) -> Response:
        """Give the answer's `next` as `before` to get the results that follow."""
        query = HistoryQuery(part_id, product, verdict, bundle, since, until, before, limit)
        parts = line.journal.records(*query.as_sql())
        return _json({"parts": parts, "next": parts[-1].number if len(parts) == limit else None})


def _add_one_result(app: FastAPI) -> None:
    line: ProductionLine = app.state.line

    @app.get("/v1/parts/{number}", summary="One result.")
    def one(number: _Number) -> Response:
        record = part(line.journal, number)
        if record is None:
            raise HTTPException(404, f"there is no result {number}")
        return _json(record)

    @app.get("/v1/parts/{number}/{kind}", summary="The heat map, the map or the colored cloud of a result.")
    def file(number: _Number, kind: Literal["heatmap", "map", "cloud"]) -> Response:
        record = part(line.journal, number)
        name = None if record is None else record.result.get("files", {}).get(kind)
        content = None if name is None else _content(line.out, name)
        if content is None:
            raise HTTPException(404, f"there is no {kind} of result {number}")
        return Response(content, media_type=_KINDS[kind])


def _add_line(app: FastAPI) -> None:
    line: ProductionLine = app.state.line

    @app.get("/v1/bundles", summary="The products of this line, and the scores and verdicts of their bundles.")
    def bundles() -> Response:
        products = [line.products.named(name).as_json() for name in line.products.names()]
        return _json({"products": products, "bundles": bundle_figures(line.journal)})

    @app.get("/v1/events", summary="Results as they come, and the status every second: server-sent events.")
    async def events(request: Request) -> StreamingResponse:
        async def stream() -> AsyncIterator[bytes]:
            async for event in app.state.events.heard(line.status):
                yield event
                if not app.state.is_open or await request.is_disconnected():
                    return

        return StreamingResponse(stream(), media_type="text/event-stream")


def _add_health(app: FastAPI) -> None:
    line: ProductionLine = app.state.line

    @app.post("/v1/drift/acknowledge", summary="Switch off the lamp of a measure that has drifted.")
    def acknowledge(product: str, measure: str, new_normal: bool = False) -> Response:
        """The cause was removed; with `new_normal` the change was intended: parts from now on count as normal."""
        line.health.acknowledge(product, measure, new_normal)
        return _json({"health": line.health.lamps()})

    @app.get("/healthz", summary="Whether the process is alive.")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", summary="Whether the line takes parts.")
    def readyz() -> Response:
        """503 if a source can deliver nothing, or a server of the line is not running; `/v1/status` says why."""
        not_ready = line.not_ready() if app.state.is_open else ["line"]
        return _json({"ready": not not_ready, "not_ready": not_ready}, 503 if not_ready else 200)

    @app.get("/v1/status", summary="The state of the line: counts, queue, latency, drift, sinks, problems.")
    def status() -> Response:
        return _json(line.status())

    @app.get("/metrics", summary="Metrics for Prometheus.")
    def metrics() -> Response:
        return Response(app.state.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_page(app: FastAPI) -> None:
    access: Access = app.state.access

    @app.post("/v1/login", include_in_schema=False)
    async def login(request: Request) -> Response:
        token = (await request.body())[:1024].decode("utf-8", "replace").strip()
        if not access.allows(token):
            raise HTTPException(401, "wrong token")
        response = Response(status_code=204)
        if access.digest is not None:
            secure = request.scope["scheme"] == "https"
            response.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=secure, path="/")
        return response

    async def file(request: Request) -> Response:
        asked = page_file(request.scope["path"])
        headers = {"ETag": asked.tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == asked.tag:
            return Response(status_code=304, headers=headers)
        return Response(asked.content, media_type=asked.kind, headers=headers)

    for path in PAGE_FILES:
        app.add_api_route(path, file, include_in_schema=False)


class _Guarded:
    """Every request's first and last step: may it ask, and what browsers must not do with the answer.

    Not Starlette's `BaseHTTPMiddleware`, which hands every piece of a body through a task of its own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = _refusal(Request(scope)) if scope["type"] == "http" else None
        await (answer or self._app)(scope, receive, send_guarded)


def _refusal(request: Request) -> Response | None:
    """Why a request may not ask; None: it may."""
    access: Access = request.app.state.access
    if not access.serves_host(request.headers.get("host", "")):
        return _problem(421, "usage", access.advice)
    if request.method not in _READING and not access.serves_origin(request.headers.get("origin")):
        return _problem(403, "usage", "a page from another address may not request this")
    # Not the address as a whole, of which the Host header is a part: `Host: x/healthz?` would open every path.
    if request.scope["path"] not in _OPEN_PATHS and not access.allows(_token(request)):
        response = _problem(401, "usage", "give the token: Authorization: Bearer TOKEN")
        response.headers["WWW-Authenticate"] = "Bearer"
        return response
    return None


def _token(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else request.cookies.get(COOKIE)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, CmdiadError)
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)
    return _problem(status, error.kind, str(error))


async def _senseless(request: Request, error: Exception) -> Response:
    """A part of the address that has another form; what was sent is not repeated."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return _problem(422, "usage", f"{first['loc'][-1]}: {first['msg']}")


async def _http_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _problem(error.status_code, "usage" if error.status_code < 500 else "machine", str(error.detail))


def _problem(status: int, kind: str, message: str) -> Response:
    response = _json({"error": {"kind": kind, "message": message}}, status)
    if status == 503:
        response.headers["Retry-After"] = _RETRY_SECONDS
    return response


def _json(value: Any, status: int = 200) -> Response:
    return Response(encode_json(value), status, media_type=JSONResponse.media_type)


def _content(out: Path, name: str) -> bytes | None:
    """A file that the journal names; None where retention has removed it, or where a changed journal leads outside."""
    path = out / name
    try:
        return path.read_bytes() if path.resolve().is_relative_to(out.resolve()) else None
    except (OSError, ValueError):  # ValueError: a null byte
        return None
