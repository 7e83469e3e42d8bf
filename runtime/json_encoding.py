"""JSON that can hold any file's name."""

from __future__ import annotations

import re
from typing import Any

# Half characters that stand for no byte: nothing that a file system gives.
_STRAY = re.compile("[\ud800-\udc7f\udd00-\udfff]")


def encode_json(value: Any) -> bytes:
    r"""Encode as UTF-8 JSON, as `msgspec.json.encode` does.

    File names that are not UTF-8 reach Python with lone surrogates, which JSON cannot hold: each such byte is written
    out, as text. The name `b"teil_\xfc.tiff"` becomes the JSON string `"teil_\\xfc.tiff"`, that is `teil_\xfc.tiff`.
    """
    import msgspec  # here, for the commands' help does without it

    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_escaped(msgspec.to_builtins(value)))


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
