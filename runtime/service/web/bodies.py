"""The body of a request becomes an arrival: bounded before it is read, and no name in it is ever opened."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from ...errors import BusyError, ScanError
from ...sensor.readers.limits import check_shape
from ..arrival import Arrival, FileContent, RawPoints

SOURCE = "http"
RAW = "application/x-float32"
MULTIPART = "multipart/form-data"
_PARAMETERS = ("part_id", "product", "name", "shape", "heatmap")
_FILES = ("scan", "image")
_LONGEST_NAME = 200
_MOST_HELD = 4
_CONTROL = dict.fromkeys((*range(32), 127), "_")


class HeldBodies:
    """How many bytes of bodies are in memory; used on the server's loop alone."""

    def __init__(self) -> None:
        self._bytes = 0

    @contextmanager
    def held(self, request: Request, most_bytes: int) -> Iterator[None]:
        """Hold a body while the block reads it and its part is inspected.

        Raises:
            BusyError: with it, there would be more than _MOST_HELD times as much as one request may have.
            HTTPException: it says itself that it is too large (413).
        """
        _refuse_stated_size(request, most_bytes)
        n_bytes = int(request.headers.get("content-length", most_bytes))
        if self._bytes + n_bytes > _MOST_HELD * most_bytes:
            raise BusyError(f"{self._bytes / 1e6:.0f} MB of requests are in progress: try again in a moment")
        self._bytes += n_bytes
        try:
            yield
        finally:
            self._bytes -= n_bytes


async def arrival_of(request: Request, most_bytes: int, patience_seconds: float) -> Arrival:
    """What a request sends to be inspected.

    Raises:
        HTTPException: the body is too large (413), too slow (408), or says nothing that can be inspected (400).
        ScanError: bare numbers without a shape, or of another size.
    """
    _refuse_unknown(request.query_params.keys(), _PARAMETERS, "parameter")
    part_id = _short(request.query_params.get("part_id"), "part_id")
    product = _short(request.query_params.get("product"), "product")
    name = _short(request.query_params.get("name"), "name") or part_id or "request"
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    try:
        async with asyncio.timeout(patience_seconds):
            if kind == MULTIPART:
                content: FileContent | RawPoints = await _form(request)
            else:
                body = await _body(request, most_bytes)
                content = _points(body, request.query_params.get("shape")) if kind == RAW else FileContent(body)
    except TimeoutError:
        raise HTTPException(408, f"the body did not arrive within {patience_seconds:g} s") from None
    except ClientDisconnect:
        raise HTTPException(400, "the connection ended before the end of the body") from None
    return Arrival(SOURCE, name, content=content, part_id=part_id, product=product)


def _refuse_unknown(given: Iterable[str], known: Sequence[str], what: str) -> None:
    """A misspelled `product`, or one in the wrong place, would be inspected as another one."""
    if unknown := sorted(set(given) - set(known)):
        raise HTTPException(400, f"unknown {what} {unknown[0]!r}: known are {', '.join(known)}")


async def _body(request: Request, most_bytes: int) -> bytes:
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > most_bytes:
            raise _too_large(most_bytes)
        pieces.append(piece)
    if not size:
        raise HTTPException(400, "the body is empty: send the scan's file, or float32 numbers with ?shape=H,W")
    return b"".join(pieces)


async def _form(request: Request) -> FileContent:
    """A form with the file `scan`, and for routes that measure both the file `image`."""
    if "content-length" not in request.headers:
        raise HTTPException(411, "a form needs Content-Length")
    try:
        form = await request.form(max_files=2, max_fields=4, max_part_size=1 << 16)
    except (ValueError, LookupError) as cause:  # letters of no alphabet: the header names their encoding
        raise HTTPException(400, f"the form cannot be read: {type(cause).__name__}") from cause
    try:
        _refuse_unknown(form.keys(), _FILES, "form field")
        contents = {}
        for field in _FILES:
            value = form.get(field)
            if value is not None:
                if isinstance(value, str):
                    raise HTTPException(400, f"the field {field!r} must be a file")
                contents[field] = await value.read()
        if not contents.get("scan"):
            raise HTTPException(400, "the form has no file `scan`: curl -F scan=@part.tiff")
        return FileContent(contents["scan"], contents.get("image"))
    finally:
        await form.close()


def _refuse_stated_size(request: Request, most_bytes: int) -> None:
    stated = request.headers.get("content-length", "0")
    if not (stated.isascii() and stated.isdigit() and len(stated) < 19):
        raise HTTPException(400, "Content-Length is not a number")
    if int(stated) > most_bytes:
        raise _too_large(most_bytes)


def _too_large(most_bytes: int) -> HTTPException:
    return HTTPException(413, f"the body has more than {most_bytes / 1e6:g} MB, the most that is accepted here")


def _points(body: bytes, shape: str | None) -> RawPoints:
    """Little-endian float32 numbers, x, y and z of every pixel, row by row: (H, W, 3).

    Raises:
        ScanError: the shape is missing or makes no sense, or the body has another size.
    """
    sides = [
        int(side) if side.isascii() and side.isdigit() and len(side) < 8 else 0 for side in (shape or "").split(",")
    ]
    if len(sides) not in (2, 3) or sides[2:] not in ([], [3]):
        raise ScanError("raw numbers need their shape: add ?shape=HEIGHT,WIDTH to the address")
    full = (*sides[:2], 3)
    check_shape(full)
    if len(body) != 4 * math.prod(full):
        raise ScanError(
            f"{len(body)} bytes are not {full[0]} x {full[1]} x 3 float32 numbers, which have {4 * math.prod(full)}"
        )
    return RawPoints(np.frombuffer(body, "<f4").reshape(full))


def _short(value: str | None, what: str) -> str | None:
    """A name from outside: no control characters, and not longer than a line.

    Raises:
        HTTPException: it is longer.
    """
    if value is None or not value.strip():
        return None
    if len(value) > _LONGEST_NAME:
        raise HTTPException(400, f"{what} has more than {_LONGEST_NAME} characters")
    return value.translate(_CONTROL)
