"""JSON that can hold any file's name."""

from __future__ import annotations

import re
from typing import Any, Literal, TypeVar

T = TypeVar("T")

# Half characters that stand for no byte: nothing that a file system gives.
_STRAY = re.compile("[\ud800-\udc7f\udd00-\udfff]")
# How JSON in ASCII begins one.
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


def encode_json(value: Any, order: Literal["sorted"] | None = None) -> bytes:
    r"""Encode as UTF-8 JSON, as `msgspec.json.encode` does.

    File names that are not UTF-8 reach Python with lone surrogates, which JSON cannot hold: each such byte is written
    out, as text. The name `b"teil_\xfc.tiff"` becomes the JSON string `"teil_\\xfc.tiff"`, that is `teil_\xfc.tiff`.
    """
    import msgspec  # here, for the commands' help does without it

    try:
        return msgspec.json.encode(value, order=order)
    except UnicodeEncodeError:
        return msgspec.json.encode(_escaped(msgspec.to_builtins(value)), order=order)


def encode_json_file(value: Any, order: Literal["sorted"] | None = None) -> bytes:
    """The same in indented lines, for a file that people read too."""
    import msgspec

    return msgspec.json.format(encode_json(value, order), indent=2) + b"\n"


def encode_own_json(value: Any, indent: int | None = None) -> bytes:
    """JSON that `decode_own_json` alone has to read, so that all file names in it come back as they were.

    Args:
        value: what `msgspec` encodes.
        indent: None: on one line.
    """
    import json

    import msgspec

    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value), indent=indent).encode() + b"\n"
    return (encoded if indent is None else msgspec.json.format(encoded, indent=indent)) + b"\n"


def decode_json(raw: bytes, kind: type[T]) -> T:
    """JSON from outside.

    Raises:
        msgspec.MsgspecError: it is something else, also where it is not UTF-8, or nested too deep.
    """
    import msgspec

    try:
        return msgspec.json.decode(raw, type=kind)
    except (UnicodeDecodeError, RecursionError) as cause:
        raise msgspec.DecodeError(str(cause)) from cause


def decode_own_json(raw: bytes, kind: type[T]) -> T:
    """What `encode_own_json` encoded.

    Raises:
        msgspec.MsgspecError: it is something else.
    """
    import json

    import msgspec

    try:
        return decode_json(raw, kind)
    except msgspec.DecodeError as cause:
        if isinstance(cause, msgspec.ValidationError) or not _HALF.search(raw):
            raise
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise msgspec.DecodeError(str(error)) from cause
        return msgspec.convert(value, kind)


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {_escaped(key): _escaped(content) for key, content in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(content) for content in value]
    return escape_name(value) if isinstance(value, str) else value


def escape_name(text: str) -> str:
    r"""A file's name without lone surrogates: bytes that are not UTF-8 become `\xNN`.

    What is UTF-8 and was taken for something else, as in an ASCII locale, becomes itself again.
    """
    return _STRAY.sub("\ufffd", text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def encode_text(text: str) -> bytes:
    """Text with names of files in it as UTF-8; see `escape_name`."""
    return escape_name(text).encode()
