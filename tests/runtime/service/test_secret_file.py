"""Files that hold one secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from cmdiad.runtime.errors import UsageError
from cmdiad.runtime.service.secret_file import read_secret, read_token


@pytest.mark.parametrize("content", ["correct horse", "correct horse\n", "correct horse\r\n"])
def test_the_line_is_the_secret_without_its_break(content: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(content.encode())
    assert read_secret(tmp_path / "secret") == "correct horse"


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"\xff\xfe", b"x" * 5000, b"bell\a"])
def test_what_is_no_secret_is_named_without_being_shown(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(UsageError, match=r"secret: .*on one line") as refused:
        read_secret(tmp_path / "secret")
    assert "two" not in str(refused.value)
    with pytest.raises(UsageError, match="missing: cannot be read"):
        read_secret(tmp_path / "missing")


def test_a_token_is_a_secret_that_a_header_can_hold_and_long_enough_where_we_ask_for_it(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(" a-token-of-24-characters \n")
    assert read_token(file, 16) == "a-token-of-24-characters"
    for content in ("a-token-with-a-€-in-it", "two words"):
        file.write_text(content, encoding="utf-8")
        with pytest.raises(UsageError, match="does not fit in a header"):
            read_token(file)
    file.write_text("one\ntwo\n")
    with pytest.raises(UsageError, match="on one line"):
        read_token(file)
    for content in ("short", "   "):
        file.write_text(content)
        with pytest.raises(UsageError, match=f"of {len(content.strip())} characters, but at least 16"):
            read_token(file, 16)
