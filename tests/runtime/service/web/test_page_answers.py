"""How the application answers browsers: the page's files, the points of a part, and pages of other addresses."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from cmdiad.runtime.service.access import Access
from cmdiad.runtime.service.line_file import HttpTable
from cmdiad.runtime.service.web.application import new_application
from cmdiad.runtime.service.web.page_files import PAGE_FILES
from starlette.testclient import TestClient

QUEUE = {"requests": 0, "files": 0, "under_way": 0}


@pytest.fixture
def client() -> Iterator[Any]:
    status = {"queue": QUEUE, "sinks": [], "problems": [], "products": [], "health": [], "parts": {}}
    line: Any = SimpleNamespace(file=SimpleNamespace(http=HttpTable()), status=lambda: status)
    line.health = SimpleNamespace(lamps=list)
    with TestClient(new_application(line, Access(None, is_local=True)), base_url="http://localhost") as ask:
        yield ask


@pytest.mark.parametrize("path", PAGE_FILES)
def test_the_pages_files_are_sent_under_a_strict_policy(client: Any, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200 and answer.content
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "unsafe" not in policy and "http" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_file_that_the_browser_has_is_not_sent_again(client: Any) -> None:
    first = client.get("/page/vendor/three.core.min.js")
    again = client.get("/page/vendor/three.core.min.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert first.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", ["/page/page_files.py", "/page/../page_files.py", "/page/vendor/", "/page/index.html"])
def test_nothing_else_is_sent(client: Any, path: str) -> None:
    assert client.get(path).status_code == 404


def test_points_are_four_little_endian_numbers_each(client: Any) -> None:
    points = np.ones((4, 5, 3), np.float32)
    inspection = SimpleNamespace(
        points=points, valid=np.ones((4, 5), bool), map=np.full((4, 5), 3, np.float32), pixel_threshold=2.0
    )
    client.app.state.clouds.keep(SimpleNamespace(number=7), inspection)
    cloud = np.frombuffer(client.get("/v1/parts/7/points").content, "<f4").reshape(-1, 4)
    assert cloud.shape == (20, 4) and (cloud[:, 3] == 1.5).all()


def test_points_that_are_not_kept_are_refused_in_words(client: Any) -> None:
    answer = client.get("/v1/parts/3/points")
    assert answer.status_code == 404
    assert "the last 32 scans are kept" in answer.json()["error"]["message"]


def test_a_page_of_another_address_may_not_write(client: Any) -> None:
    answer = client.post("/v1/login", headers={"Origin": "https://elsewhere.example"})
    assert answer.status_code == 403
    assert client.post("/v1/login", headers={"Origin": "http://localhost:8080"}).status_code == 204
