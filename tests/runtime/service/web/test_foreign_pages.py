"""A page of another address cannot write to a line that asks for no token."""

from __future__ import annotations

import pytest
from cmdiad.runtime.service.access import Access

OPEN, CLOSED = Access(None, is_local=True), Access(b"digest", is_local=False)


@pytest.mark.parametrize("origin", [None, "http://127.0.0.1:8080", "http://localhost:8080", "https://[::1]:8443"])
def test_this_machines_pages_and_programs_may_write(origin: str | None) -> None:
    assert OPEN.serves_origin(origin)


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null", "", "http://127.0.0.1.elsewhere.example:8080"])
def test_other_pages_may_not(origin: str) -> None:
    assert not OPEN.serves_origin(origin)


def test_where_a_token_is_asked_for_it_decides() -> None:
    assert CLOSED.serves_origin("https://elsewhere.example")
