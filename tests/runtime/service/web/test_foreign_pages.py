"""A page of another address cannot write to a line."""

from __future__ import annotations

import pytest
from cmdiad.runtime.service.access import Access

OPEN, CLOSED = Access(None, is_local=True), Access(b"digest", False, frozenset({"line7"}))


@pytest.mark.parametrize("origin", [None, "http://127.0.0.1:8080", "http://localhost:8080", "https://[::1]:8443"])
def test_this_machines_pages_and_programs_may_write(origin: str | None) -> None:
    assert OPEN.serves_origin(origin)


@pytest.mark.parametrize(
    "origin", ["https://elsewhere.example", "null", "", "http://[", "http://127.0.0.1.elsewhere.example:8080"]
)
def test_other_pages_may_not(origin: str) -> None:
    assert not OPEN.serves_origin(origin) and not CLOSED.serves_origin(origin)


def test_pages_of_the_servers_own_names_may_write_where_a_token_is_asked_for() -> None:
    assert CLOSED.serves_origin("https://line7:8443") and not OPEN.serves_origin("https://line7:8443")
