"""Requests as no client of ours sends them: answered in words, and never past the token."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("fastapi")

from cmdiad.runtime.errors import BusyError, OutputError
from cmdiad.runtime.service.access import Access
from cmdiad.runtime.service.arrival import Accepted, Arrival, PartRecord
from cmdiad.runtime.service.journal import Journal
from cmdiad.runtime.service.line_file import HttpTable
from cmdiad.runtime.service.station import Station, StationSettings
from cmdiad.runtime.service.web.application import new_application
from cmdiad.runtime.service.web.bodies import HeldBodies
from starlette.requests import Request

TOKEN = "a-token-that-is-long-enough"
OPEN, CLOSED = Access(None, True), Access(hashlib.sha256(TOKEN.encode()).digest(), False)
LOCAL = (b"host", b"localhost")

Headers = Sequence[tuple[bytes, bytes]]


@pytest.fixture
def line(journal: Journal, word_products: Any) -> Any:
    """A line that rests: nothing here comes to an inspection."""
    station = Station(StationSettings(journal.path.parent), journal, word_products)
    table = HttpTable(max_request_mb=0.001, timeout_seconds=0.05)
    file, out = SimpleNamespace(http=table), journal.path.parent
    return SimpleNamespace(journal=journal, products=word_products, out=out, station=station, file=file)


def ask(
    line: Any,
    address: str,
    headers: Headers = (LOCAL,),
    body: bytes = b"",
    method: str = "GET",
    access: Access = OPEN,
) -> tuple[int, bytes]:
    """Status and body, of an application that is asked without a server before it."""
    path, _, query = address.partition("?")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "root_path": "",
        "raw_path": path.encode(),
        "query_string": query.encode("latin-1"),
        "headers": list(headers),
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8080),
    }
    said: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    asyncio.run(new_application(line, access)(scope, receive, send))
    return said[0]["status"], b"".join(message.get("body", b"") for message in said[1:])


@pytest.mark.parametrize(
    "host", [b"x/healthz?", b"x/readyz#", b"x/?", b"x/v1/login?a=", b"[::1", b"\xff", b"a:99999999"], ids=range(7)
)
def test_no_host_opens_a_path_that_needs_the_token(line: Any, host: bytes) -> None:
    """The address as a whole begins with the Host header, and `x/healthz?` would make /v1/history a part of it."""
    status, body = ask(line, "/v1/history", [(b"host", host)], access=CLOSED)
    assert (status, json.loads(body)["error"]["kind"]) == (421, "usage")


@pytest.mark.parametrize(
    "address",
    [
        *("/v1/parts/99999999999999999999", "/v1/parts/-1", "/v1/parts/1e3", "/v1/parts/9999999999999999999999/map"),
        *("/v1/history?before=99999999999999999999", "/v1/history?since=nan", "/v1/history?until=inf"),
        *("/v1/history?limit=0", "/v1/history?limit=1001", "/v1/history?part_id=" + "[" * 60_000 + "*"),
        *("/v1/history?bundle=" + "?" * 60_000, "/v1/history?verdict=maybe", "/v1/parts/1/secret"),
    ],
    ids=range(13),
)
def test_numbers_and_words_that_make_no_sense_are_refused_and_not_repeated(line: Any, address: str) -> None:
    status, body = ask(line, address)
    assert status == 422
    error = json.loads(body)["error"]
    assert error["kind"] == "usage" and len(error["message"]) < 200


@pytest.mark.parametrize("stated", [b"\xb2", b"-1", b"1e3", b"9" * 5000, b" ", b"0x9"])
def test_a_content_length_that_is_none_is_refused(line: Any, stated: bytes) -> None:
    status, _ = ask(line, "/v1/inspect", [LOCAL, (b"content-length", stated)], b"good", "POST")
    assert status in (400, 413)


@pytest.mark.parametrize("charset", ["punycode", "idna", "\0", "hex", "utf-16"])
def test_a_form_in_letters_that_cannot_be_read_is_refused(line: Any, charset: str) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="\xff-"; filename="a"\r\n\r\ngood\r\n--b--\r\n'
    kind = f"multipart/form-data; boundary=b; charset={charset}".encode()
    headers = [LOCAL, (b"content-type", kind), (b"content-length", str(len(body)).encode())]
    status, answer = ask(line, "/v1/inspect", headers, body, "POST")
    assert status == 400 and "error" in json.loads(answer)


def test_without_a_token_a_login_sets_no_cookie_of_what_was_sent(line: Any) -> None:
    assert ask(line, "/v1/login", body="€\n".encode(), method="POST")[0] == 204


def test_no_answer_leads_to_an_address_made_of_the_host(line: Any) -> None:
    assert ask(line, "/v1/history/", [(b"host", b"[::1")], access=CLOSED)[0] == 421
    assert ask(line, "/v1/history/")[0] == 404


def test_a_damaged_journal_is_the_machines_fault(line: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(*_: object) -> None:
        raise OutputError("the journal cannot be used")

    monkeypatch.setattr(line.journal, "records", damaged)
    status, body = ask(line, "/v1/history")
    assert (status, json.loads(body)["error"]["kind"]) == (503, "output")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a\0b", "."], ids=["up", "root", "null", "folder"])
def test_a_changed_journal_leads_to_no_file_outside_the_results(
    line: Any, name: str, tmp_path: Path, result: SimpleNamespace
) -> None:
    (line.out.parent / "secret").write_bytes(b"secret")
    arrival = Arrival("folder", "a.tiff", line.out / "a.tiff")
    (number,) = line.journal.accept([arrival], at=1.0)
    result.result = {"files": {"heatmap": name}}
    line.journal.finish(Accepted(number, arrival, 1.0), PartRecord(number=number, **vars(result)), [])
    assert ask(line, f"/v1/parts/{number}/heatmap")[0] == 404


def test_bodies_in_memory_are_bounded_together() -> None:
    held = HeldBodies()
    whole = Request({"type": "http", "headers": [(b"content-length", b"100")]})
    unstated = Request({"type": "http", "headers": []})
    with held.held(whole, 100), held.held(unstated, 100), held.held(whole, 100):
        with held.held(whole, 100), pytest.raises(BusyError, match="in progress"), held.held(whole, 100):
            pass
        with held.held(whole, 100):
            pass
