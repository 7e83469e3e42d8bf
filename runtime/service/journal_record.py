"""A result as the journal keeps it: the columns of a row, and what of its JSON must be there."""

from __future__ import annotations

from typing import Any

import msgspec

from .arrival import PartRecord

# A record's own fields, `result` as the last.
RECORD_COLUMNS = ", ".join(PartRecord.__struct_fields__)


class _KnownResult(msgspec.Struct):
    """What of a result's JSON is looked into later on."""

    files: dict[str, str] = {}
    ms: dict[str, float] = {}
    health: dict[str, float | None] = {}
    error: dict[str, str] = {}


def read_record(*columns: Any) -> PartRecord:
    """A result of its columns, in the order of `RECORD_COLUMNS`.

    Raises:
        ValueError: they are not those of a result.
    """
    *values, result = columns
    if not isinstance(result, str):
        raise ValueError("a part that is done has no result")
    try:
        msgspec.json.decode(result, type=_KnownResult)
        columns = (*values, msgspec.json.decode(result))
        said = dict(zip(PartRecord.__struct_fields__, columns, strict=True))
        return msgspec.convert(said, PartRecord)
    except (msgspec.MsgspecError, RecursionError) as cause:
        raise ValueError(f"a damaged result: {cause}") from cause
