"""`line.toml`: what is accepted, and in which words the rest is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cmdiad.runtime.errors import UsageError
from cmdiad.runtime.service.line_file import LineFile, placed, read_line_file

PRODUCT = '[[product]]\nname = "flange"\nbundle = "flange.cmdiad"\n'
KEYS = Path(__file__).resolve().parents[3] / "docs" / "line_file.md"


def written(folder: Path, text: str) -> Path:
    path = folder / "line.toml"
    path.write_text(text)
    return path


def test_a_product_is_all_that_is_needed(tmp_path: Path) -> None:
    file = read_line_file(written(tmp_path, PRODUCT))
    assert file.product[0].name == "flange"
    assert (file.http.host, file.line.tries, file.folder) == ("127.0.0.1", 3, [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "missing required field `product`"),
        ("product = []", "there is no [[product]]"),
        ("= 3", "is not TOML"),
        (PRODUCT + "[line]\nprovidor = 'cuda'", "line: Object contains unknown field `providor`"),
        (PRODUCT + "[http]\nport = 0", "http.port: Expected `int` >= 1"),
        (PRODUCT + "[http]\nport = '80'", "http.port: Expected `int`, got `str`"),
        (PRODUCT + "[line]\nheatmaps = 'some'", "line.heatmaps: Invalid enum value 'some'"),
        (PRODUCT + PRODUCT, "two of product are called 'flange'"),
        (PRODUCT + "[[folder]]\npath = 'in'\nproduct = 'gland'", "names product 'gland': this file has flange"),
        (PRODUCT + "[[camera]]\nproducer = 'a.cti'\nproduct = 'gland'", "source 'camera' names product 'gland'"),
        (PRODUCT + "[[camera]]\nproducer = 'a.cti'\n" * 2, "two of source (folder, camera) are called 'camera'"),
        (PRODUCT + "[[folder]]\npath = 'in'\ndone = 'done'", 'set after = "move" too'),
        (PRODUCT + "[http]\ntls_cert = 'a.pem'", "give both or neither"),
        ('[[product]]\nname = "../up"\nbundle = "b"', "product[0].name: Expected `str` matching regex"),
        ('[[product]]\nname = "up\\n"\nbundle = "b"', "product[0].name: Expected `str` matching regex"),
        (PRODUCT + "[history]\nkeep_days = nan", "history.keep_days"),
        (PRODUCT + "[history]\nkeep_days = inf", "history.keep_days"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_line_file(written(tmp_path, text))
    assert words in str(refused.value)
    assert str(refused.value).startswith(f"{tmp_path / 'line.toml'}: ")


@pytest.mark.parametrize(
    ("name", "words"),
    [pytest.param("a\0b", "null character", id="null"), pytest.param("~nobody-of-this-name/x", "home", id="user")],
)
def test_a_path_that_is_none_is_refused(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        placed(tmp_path, name)


def test_a_missing_or_huge_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_line_file(tmp_path / "none.toml")
    with pytest.raises(UsageError, match="too many for settings"):
        read_line_file(written(tmp_path, "#" * (1 << 21)))


def tables(kind: Any) -> dict[str, list[str]]:
    """Every table of the file and its keys."""
    found_tables: dict[str, list[str]] = {}
    for field in msgspec.structs.fields(kind):
        table = field.type.__args__[0] if hasattr(field.type, "__args__") else field.type
        found_tables[field.name] = [key.name for key in msgspec.structs.fields(table)]
    return found_tables


@pytest.mark.parametrize(("table", "keys"), tables(LineFile).items())
def test_every_key_is_documented(table: str, keys: list[str]) -> None:
    text = KEYS.read_text(encoding="utf-8")
    _, heading, section = text.partition(f"## `[{table}]`" if f"## `[{table}]`" in text else f"## `[[{table}]]`")
    assert heading, f"docs/line_file.md has no section for {table}"
    section = section.split("\n## ")[0]
    told = {
        name for cell in re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE) for name in re.findall("`([^`]+)`", cell)
    }
    assert set(keys) - told == set()
