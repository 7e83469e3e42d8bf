"""The HTTP interface, over a line whose inspector reads words."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx2")

from cmdiad.runtime.errors import UsageError
from cmdiad.runtime.service.access import Access
from cmdiad.runtime.service.journal import Journal
from cmdiad.runtime.service.line_file import HttpTable
from cmdiad.runtime.service.loopback import is_loopback
from cmdiad.runtime.service.station import Station, StationSettings
from cmdiad.runtime.service.tally import LineTally
from cmdiad.runtime.service.web.application import new_application
from starlette.testclient import TestClient

TOKEN = "a-token-that-is-long-enough"
LOCAL = Access(None, is_local=True)


class WordLine:
    """As much of a `ProductionLine` as the application asks."""

    def __init__(self, journal: Journal, products: Any, http: HttpTable) -> None:
        self.journal, self.products, self.out = journal, products, journal.path.parent
        products.names = lambda: ["thing"]
        products.product.as_json = None
        self.file = SimpleNamespace(http=http)
        self.tally = LineTally()
        self.missing: list[str] = []
        settings = StationSettings(self.out, threads=2, request_queue=4)
        self.station = Station(settings, journal, products)
        self.station.listen(lambda record, inspection: self.tally.add(record))

    def not_ready(self) -> list[str]:
        """See `ProductionLine.not_ready`."""
        return self.missing

    def status(self) -> dict[str, Any]:
        """See `ProductionLine.status`."""
        queue = {"requests": 0, "files": 0, "under_way": 0}
        return {
            "state": "ready",
            "problems": [],
            "queue": queue,
            "products": [],
            "sinks": [],
            "health": [],
            **self.tally.as_json(),
        }


@pytest.fixture
def line(journal: Journal, word_products: Any) -> Iterator[WordLine]:
    made = WordLine(journal, word_products, HttpTable(max_request_mb=0.001, timeout_seconds=5))
    thread = threading.Thread(target=made.station.run)
    thread.start()
    yield made
    made.station.stop()
    thread.join(20)


def client(line: Any, access: Access = LOCAL) -> TestClient:
    app = new_application(line, access)
    line.station.listen(lambda record, inspection: app.state.metrics.add(record))
    return TestClient(app, base_url="http://localhost")


def test_a_scan_is_inspected_and_its_result_is_in_the_history_with_its_heat_map(line: WordLine) -> None:
    ask = client(line)
    answer = ask.post("/v1/inspect?part_id=A-1", content=b"defect")
    assert answer.status_code == 200
    assert (answer.json()["verdict"], answer.json()["part_id"]) == ("defect", "A-1")
    picture = ask.get(answer.json()["heatmap"])
    assert picture.headers["content-type"] == "image/png" and picture.content.startswith(b"\x89PNG")
    parts = ask.get("/v1/history?part_id=A-*").json()["parts"]
    assert [part["number"] for part in parts] == [answer.json()["number"]]
    assert ask.get(f"/v1/parts/{answer.json()['number']}").json()["verdict"] == "defect"


def test_a_heat_map_comes_with_the_answer_where_that_is_asked(line: WordLine) -> None:
    answer = client(line).post("/v1/inspect?heatmap=inline", content=b"good").json()
    assert base64.b64decode(answer["heatmap_png_base64"]).startswith(b"\x89PNG")


def test_bare_numbers_need_a_shape_of_their_size(line: WordLine) -> None:
    ask = client(line)
    kind = {"content-type": "application/x-float32"}
    whole = bytes(4 * 3 * 4 * 5)
    assert ask.post("/v1/inspect?shape=4,5", content=whole, headers=kind).json()["verdict"] == "good"
    for shape in (
        "",
        "?shape=4,6",
        "?shape=-4,5",
        "?shape=4",
        "?shape=99999999,99999999",
        "?shape=4,5,2",
        "?shape=a,b",
    ):
        refused = ask.post(f"/v1/inspect{shape}", content=whole, headers=kind)
        assert refused.status_code == 422, shape
        assert refused.json()["error"]["kind"] == "scan"


def test_a_form_may_hold_the_scan(line: WordLine) -> None:
    ask = client(line)
    assert ask.post("/v1/inspect", files={"scan": ("../../etc/passwd", b"good")}).json()["verdict"] == "good"
    assert ask.post("/v1/inspect", files={"other": b"good"}).status_code == 400


def test_a_bad_scan_is_answered_in_words_and_counted(line: WordLine) -> None:
    ask = client(line)
    refused = ask.post("/v1/inspect", content=b"rubbish")
    assert refused.status_code == 422
    assert refused.json()["verdict"] == "error"
    assert "holds 'rubbish'" in refused.json()["result"]["error"]["message"]
    assert b'cmdiad_parts_total{product="thing",verdict="error"} 1.0' in ask.get("/metrics").content


def test_bodies_are_bounded(line: WordLine) -> None:
    ask = client(line)
    assert ask.post("/v1/inspect", content=bytes(2000)).status_code == 413
    assert ask.post("/v1/inspect", content=iter([bytes(600)] * 4)).status_code == 413
    assert ask.post("/v1/inspect", content=b"").status_code == 400
    misspelled = ask.post("/v1/inspect?prodct=lid", content=b"good")
    assert misspelled.status_code == 400 and "unknown parameter 'prodct': known are part_id, product" in misspelled.text
    in_form = ask.post("/v1/inspect", files={"scan": ("a.tiff", b"good")}, data={"product": "lid"})
    assert in_form.status_code == 400 and "unknown form field 'product'" in in_form.text
    assert ask.post("/v1/inspect?part_id=" + "x" * 300, content=b"good").status_code == 400


def test_an_unknown_product_is_refused_with_those_there_are(line: WordLine, word_products: Any) -> None:
    def named(name: str | None) -> Any:
        if name:
            raise UsageError(f"there is no product {name!r} on this line: it has thing")
        return word_products.product

    word_products.named = named
    refused = client(line).post("/v1/inspect?product=other", content=b"good")
    assert (refused.status_code, refused.json()["error"]["kind"]) == (400, "usage")


def test_a_full_queue_says_when_to_ask_again(journal: Journal, word_products: Any) -> None:
    resting = WordLine(journal, word_products, HttpTable(timeout_seconds=0.05))
    ask = client(resting)
    codes = [ask.post("/v1/inspect", content=b"good") for _ in range(5)]
    assert [answer.status_code for answer in codes] == [504] * 4 + [503]
    assert codes[-1].headers["retry-after"] == "1"
    resting.station.stop()
    resting.station.run()
    assert journal.count_unfinished() == 0


def test_no_path_of_a_request_is_opened(line: WordLine) -> None:
    ask = client(line)
    (line.out / "secret").write_text("secret")
    for path in ("/../secret", "/v1/parts/..%2Fsecret/heatmap", "/%2e%2e/secret", "/v1/parts/1/..", "/page/../secret"):
        assert ask.get(path).status_code in (404, 422), path


def test_without_a_token_only_this_machines_names_are_served(line: WordLine) -> None:
    ask = client(line)
    assert ask.get("/v1/status", headers={"host": "127.0.0.1:8080"}).status_code == 200
    assert ask.get("/v1/status", headers={"host": "[::1]:8080"}).status_code == 200
    assert ask.get("/v1/status", headers={"host": "evil.example"}).status_code == 421
    assert ask.get("/v1/status", headers={"host": "localhost.evil.example:8080"}).status_code == 421


def test_with_a_token_everything_but_health_and_the_page_needs_it(line: WordLine, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    access = Access.of(HttpTable(token_file="token"), tmp_path)
    ask = client(line, access)
    assert ask.get("/healthz").status_code == ask.get("/readyz").status_code == ask.get("/").status_code == 200
    for path in ("/v1/status", "/v1/history", "/metrics", "/openapi.json", "/v1/parts/1"):
        refused = ask.get(path)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer"), path
    assert ask.post("/v1/inspect", content=b"good").status_code == 401
    assert ask.get("/v1/status", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert ask.get("/v1/status", headers={"authorization": f"Bearer {TOKEN}x"}).status_code == 401
    assert ask.post("/v1/login", content="wrong").status_code == 401
    assert ask.post("/v1/login", content=TOKEN).status_code == 204
    assert ask.get("/v1/status").status_code == 200


def test_a_line_whose_source_can_deliver_nothing_is_not_ready_and_says_which(line: WordLine) -> None:
    ask = client(line)
    assert ask.get("/readyz").json() == {"ready": True, "not_ready": []}
    line.missing = ["source scans"]
    answer = ask.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "not_ready": ["source scans"]})
    assert ask.get("/healthz").status_code == 200


def test_with_a_token_only_names_of_this_server_are_served(line: WordLine, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    table = HttpTable(host="line7.plant.example", token_file="token", plain_http=True, names=["Line7"])
    ask = client(line, Access.of(table, tmp_path))
    token = {"authorization": f"Bearer {TOKEN}"}
    names = ("localhost", "10.0.0.7:8080", "[fe80::1]:8080", "line7.plant.example", "LINE7:8080", socket.gethostname())
    for host in names:
        assert ask.get("/v1/status", headers={"host": host, **token}).status_code == 200, host
    for host in ("evil.example", "line7.evil.example:8080", "10.0.0.7.evil.example", "[10.0.0.7", "1"):
        refused = ask.get("/v1/status", headers={"host": host, **token})
        assert refused.status_code == 421 and "add the name to [http] names" in refused.json()["error"]["message"], host


def test_names_that_would_not_be_served_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names: without a token only localhost and"):
        Access.of(HttpTable(names=["line7"]), tmp_path)


def test_a_server_that_others_reach_needs_token_and_tls(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    with pytest.raises(UsageError, match="give token_file"):
        Access.of(HttpTable(host="0.0.0.0"), tmp_path)
    with pytest.raises(UsageError, match="without TLS the token can be read"):
        Access.of(HttpTable(host="192.168.0.1", token_file="token"), tmp_path)
    assert not Access.of(HttpTable(host="0.0.0.0", token_file="token", plain_http=True), tmp_path).is_local
    (tmp_path / "token").write_text("short")
    with pytest.raises(UsageError, match="5 characters"):
        Access.of(HttpTable(token_file="token"), tmp_path)


@pytest.mark.parametrize(
    ("host", "local"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("line7", False)]
)
def test_what_counts_as_this_machine(host: str, local: bool) -> None:
    assert is_loopback(host) is local


def test_browsers_are_told_what_not_to_do(line: WordLine) -> None:
    headers = client(line).get("/").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in headers["content-security-policy"]


def test_the_interface_is_described(line: WordLine) -> None:
    paths = client(line).get("/openapi.json").json()["paths"]
    assert {"/v1/inspect", "/v1/history", "/v1/bundles", "/v1/status", "/healthz", "/readyz", "/metrics"} <= set(paths)
