"""Errors: one line each, whatever names are in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from cmdiad.runtime.errors import ScanError, UsageError, naming_scan


@pytest.mark.parametrize(
    "character",
    ["\n", "\r", "\x1b", "\x00", "\x9b", "\u202e", "\u2028"],
    ids=["line feed", "return", "escape", "null", "c1", "override", "separator"],
)
def test_no_name_breaks_the_line_or_turns_the_text_around(character: str) -> None:
    said = str(UsageError(f"a{character}b: there is no such product"))
    assert character not in said
    assert said.startswith(("a ", "a\\x", "a\\u")) and said.endswith("b: there is no such product")


def test_a_path_with_control_characters_is_named_once() -> None:
    path = Path("a\nb.tiff")
    with pytest.raises(ScanError) as refused, naming_scan(path):
        raise ScanError(f"{path}: is empty")
    assert str(refused.value) == "a b.tiff: is empty"
