"""TOML from outside: read, or refused in bounded time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from cmdiad.runtime.errors import UsageError
from cmdiad.runtime.files.toml_file import MAX_BYTES, MAX_LINE_BYTES, read_toml


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[http]\r\nport = 1\n")
    assert read_toml(tmp_path / "a.toml") == {"http": {"port": 1}}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("x = " + "1" * 5000, "has a line", id="long line"),
        pytest.param("x = [\n" + "1,\n" * MAX_BYTES, "too many for settings", id="long file"),
        pytest.param("x = " + "[" * 2000, "is not TOML", id="nested arrays"),
        pytest.param("x = " + "{a=" * 1300, "is not TOML", id="nested tables"),
        pytest.param("x = 2026-13-45", "is not TOML", id="no date"),
        pytest.param("x = \udcff", "is not TOML", id="not UTF-8"),
        pytest.param("x = 1\nx = 2", "is not TOML", id="twice"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match=says) as refused:
        read_toml(path)
    assert str(refused.value).startswith(f"{path}: ") and "\n" not in str(refused.value)


def test_keys_of_thousands_of_parts_take_no_time(tmp_path: Path) -> None:
    """30,000 parts took 18 s: the parser's time grows with the square of them."""
    line = ".".join("a" * (MAX_LINE_BYTES // 2 - 4)) + " = 1\n"
    path = tmp_path / "a.toml"
    path.write_text(line.replace("a", "b", 1) + line.replace("a", "c", 1))
    begin = time.perf_counter()
    read_toml(path)
    assert time.perf_counter() - begin < 3
    path.write_text(".".join("a" * 30_000) + " = 1\n")
    with pytest.raises(UsageError, match="has a line of"):
        read_toml(path)


@pytest.mark.parametrize("name", ["none.toml", ".", "a\0b"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_toml(tmp_path / name)
