"""Names of files that are not UTF-8 are in every report, and come back from what we write for ourselves."""

import json
import os

import msgspec
import pytest
from cmdiad.runtime.files.json_encoding import (
    decode_json,
    decode_own_json,
    encode_json_file,
    encode_own_json,
    encode_text,
    escape_name,
)
from hypothesis import given
from hypothesis import strategies as st

ODD = os.fsdecode(b"part-\xff.tiff")


class Record(msgspec.Struct):
    names: dict[str, list[str]]
    number: float | None = None


@given(st.text(st.characters(codec=None, categories=None), max_size=20), st.none() | st.floats(allow_nan=False))
@pytest.mark.parametrize("indent", [None, 2])
def test_what_is_our_own_comes_back_as_it_was(indent: int | None, text: str, number: float | None) -> None:
    record = Record({text: [text, ODD]}, None if number in (float("inf"), float("-inf")) else number)
    raw = encode_own_json(record, indent)
    assert raw.endswith(b"\n") and decode_own_json(raw, Record) == record
    assert indent is not None or raw.count(b"\n") == 1


def test_our_own_is_the_usual_json_where_that_can_hold_it() -> None:
    record = Record({"teil_ü": ["a"]}, 0.5)
    assert (
        encode_own_json(record, 2)
        == encode_json_file(record)
        == msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"
    )


@pytest.mark.parametrize("raw", [b"", b"no", b"[]", b'{"names": 3}', b'{"names": {"\\udcff": 3}}', b'["\\udcff"'])
def test_what_is_something_else_is_one_kind_of_error(raw: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_own_json(raw, Record)


def test_files_for_people_have_such_names_written_out() -> None:
    shown = json.loads(encode_json_file({"b": ODD, "a": 1}, order="sorted"))
    assert shown == {"a": 1, "b": escape_name(ODD)} and list(shown) == ["a", "b"]
    assert encode_text(f"{ODD}\n").decode() == "part-\\xff.tiff\n"


@pytest.mark.parametrize(
    "raw", [b'{"a": "\xff"}', b"[" * 200_000, b"", b"{"], ids=["letters", "nested", "empty", "cut"]
)
def test_what_is_no_json_is_one_kind_of_error(raw: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_json(raw, dict)
    with pytest.raises(msgspec.MsgspecError):
        decode_own_json(raw, dict)
