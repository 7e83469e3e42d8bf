"""Results posted to a real HTTP server, which is down, refuses, stumbles, redirects, and is slow."""

from __future__ import annotations

import json
import logging
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cmdiad.runtime.errors import OutputError, UsageError
from cmdiad.runtime.service.arrival import PartRecord
from cmdiad.runtime.service.journal import Journal
from cmdiad.runtime.service.sinks.webhook import WebhookSettings, WebhookSink

Record = Callable[..., PartRecord]
Finish = Callable[..., list[PartRecord]]
Wait = Callable[..., None]


class Address:
    """A server that answers as it is told, the last answer for ever: a status, or None for silence."""

    def __init__(self) -> None:
        self.answers: list[int | None] = [200]
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.release = threading.Event()
        address = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                address.requests.append((self.path, dict(self.headers), body))
                answer = address.answers.pop(0) if len(address.answers) > 1 else address.answers[0]
                if answer is None:
                    address.release.wait(10)
                    return
                self.send_response(answer)
                if 300 <= answer < 400:
                    self.send_header("Location", "http://elsewhere.example/")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]

    def start(self) -> None:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        self.release.set()
        self.server.shutdown()
        self.server.server_close()

    def numbers(self) -> list[int]:
        return [body["number"] for _, _, body in list(self.requests)]


@pytest.fixture
def address() -> Iterator[Address]:
    made = Address()
    made.start()
    yield made
    made.stop()


def sink_at(port: int, scheme: str = "http", **keys: Any) -> WebhookSink:
    return WebhookSink(WebhookSettings("mes", f"{scheme}://127.0.0.1:{port}/parts?line=1", "f00d", **keys))


def test_a_result_is_posted_as_json_with_token_and_key(address: Address, record_of: Record, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    sink = sink_at(address.port, token_file=tmp_path / "token", timeout_seconds=5)
    sink.open()
    sink.deliver(record_of(6, "defect"))
    ((path, headers, body),) = address.requests
    assert path == "/parts?line=1" and headers["Content-Type"] == "application/json"
    assert headers["Idempotency-Key"] == "f00d-6" and headers["Authorization"] == "Bearer s3cret"
    assert (body["number"], body["verdict"], body["part_id"]) == (6, "defect", "P0006")


def test_only_the_verdicts_asked_for_are_posted(address: Address, record_of: Record) -> None:
    sink = sink_at(address.port, verdicts=("defect", "error"))
    sink.open()
    for number, verdict in enumerate(("good", "defect", "good", "error"), 1):
        sink.deliver(record_of(number, verdict))
    assert address.numbers() == [2, 4] and "Authorization" not in address.requests[0][1]


def test_a_result_refused_for_good_is_counted_named_and_passed_over(
    address: Address,
    journal: Journal,
    finish: Finish,
    deliver: Callable[[Any], Any],
    wait_until: Wait,
    caplog: pytest.LogCaptureFixture,
) -> None:
    address.answers = [200, 422, 500, 503, 401, 404, 429, 302, 201]
    finish(4, "mes")
    sink = sink_at(address.port)
    with caplog.at_level(logging.WARNING, "cmdiad.line"):
        deliver(sink)
        wait_until(lambda: not journal.count_undelivered("mes"))
    # 2 is refused and not sent again; 3 is sent until it is taken.
    assert address.numbers() == [1, 2, *[3] * 7, 4] and sink.passed_over == 1
    assert "sink mes: part 2 is refused permanently and passed over" in caplog.text and "422" in caplog.text
    assert len({headers["Idempotency-Key"] for _, headers, _ in address.requests}) == 4


def test_results_wait_while_the_address_is_down(
    journal: Journal, finish: Finish, deliver: Callable[[Any], Any], wait_until: Wait, record_of: Record
) -> None:
    down = Address()
    finish(3, "mes")
    # It has its port, and takes connections that nobody answers until it is started.
    delivery = deliver(sink_at(down.port, timeout_seconds=0.05))
    wait_until(lambda: delivery.tries >= 2)
    assert "cannot be posted to: timed out" in delivery.problem and journal.count_undelivered("mes") == 3
    down.start()
    wait_until(lambda: not journal.count_undelivered("mes"))
    wait_until(lambda: delivery.problem is None)
    down.stop()
    assert list(dict.fromkeys(down.numbers())) == [1, 2, 3]
    with pytest.raises(OutputError, match="Connection refused"):
        sink_at(down.port).deliver(record_of(4))


def test_an_address_that_is_slow_is_an_error_in_time(address: Address, record_of: Record) -> None:
    address.answers = [None]
    with pytest.raises(OutputError, match="timed out"):
        sink_at(address.port, timeout_seconds=0.1).deliver(record_of(1))


def test_a_redirect_is_named_and_not_followed(address: Address, record_of: Record) -> None:
    address.answers = [307]
    with pytest.raises(OutputError, match=r"redirects are not followed: set url to http://elsewhere\.example/"):
        sink_at(address.port).deliver(record_of(1))
    assert len(address.requests) == 1


def test_https_is_spoken_to_whom_the_plants_authority_vouches_for(
    address: Address, own_certificate: tuple[Path, Path], record_of: Record
) -> None:
    certificate, key = own_certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    address.server.socket = context.wrap_socket(address.server.socket, server_side=True)
    sink = sink_at(address.port, "https", tls_ca=certificate)
    sink.open()
    sink.deliver(record_of(1))
    stranger = sink_at(address.port, "https")
    stranger.open()
    with pytest.raises(OutputError, match="certificate verify failed"):
        stranger.deliver(record_of(2))
    assert address.numbers() == [1]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://mes/parts", "is not an address"),
        ("http:///parts", "is not an address"),
        ("http://mes:70000/parts", "is not an address"),
        ("http://mes/a b", "is not an address"),
        ("https://line:secret@mes/parts", "has a password in it"),
    ],
)
def test_an_address_that_nothing_can_be_posted_to_is_refused(url: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        WebhookSettings("mes", url, "f00d")


def test_a_token_file_that_is_missing_or_holds_no_token_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing: cannot be read"):
        sink_at(1, token_file=tmp_path / "missing")
    (tmp_path / "token").write_text("schlüssel")
    with pytest.raises(UsageError, match="does not fit in a header"):
        sink_at(1, token_file=tmp_path / "token")
