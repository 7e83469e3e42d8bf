"""What a step of a product leaves: a folder that is there whole or not at all, with the key of what it was made from.

A step whose folder has the same key is not done again. So a killed fleet goes on where it stopped, and a product is
done again if its scans, settings or networks have changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from ..runtime.files.atomic import atomic_write_bytes, naming_place
from ..runtime.files.atomic_folder import NEW, interrupted_replacement, put_in_place, remove_leftovers, work_folder
from ..runtime.files.json_encoding import decode_own_json, encode_json, encode_own_json
from ..version import __version__

RESULT = "result.json"
R = TypeVar("R", bound=msgspec.Struct)


class StepRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The file `result.json` of a step.

    Attributes:
        key: of what the step was made from, see `step_key`.
        result: what it gave.
    """

    key: str
    result: msgspec.Raw


def step_key(step: str, **inputs: object) -> str:
    """SHA-256 over all that a step's result depends on, and the version of the program.

    Args:
        step: its name.
        inputs: digests and settings, by name; whatever `msgspec` encodes.

    Example:
        >>> step_key("bench", seed=1) == step_key("bench", seed=2)
        False
    """
    told = msgspec.to_builtins({"step": step, "version": __version__, "inputs": inputs})
    return hashlib.sha256(encode_json(told, order="sorted")).hexdigest()


def made_or_kept(
    folder: Path, key: str, kind: type[R], make: Callable[[Path], R], is_whole: Callable[[R], bool] = lambda _: True
) -> tuple[R, bool]:
    """The result of a step, and whether it was there already.

    Args:
        folder: what the step leaves; replaced in one step.
        key: of what it is made from.
        kind: of its result.
        make: writes the files into the folder that it is given, and gives the result.
        is_whole: whether the files that belong to a kept result are still what they were.

    Raises:
        CmdiadError: the step's own.
        OutputError: nothing can be written.
    """
    with naming_place(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = interrupted_replacement(folder)
        if aside is not None:
            aside.rename(folder)
        remove_leftovers(folder)
    kept = _kept(folder, key, kind)
    if kept is not None and is_whole(kept):
        return kept, True
    with work_folder(folder) as work:
        (work / NEW).mkdir()
        result = make(work / NEW)
        record = StepRecord(key=key, result=msgspec.Raw(encode_own_json(result)))
        atomic_write_bytes(work / NEW / RESULT, encode_own_json(record, indent=2))
        with naming_place(folder):
            put_in_place(work, folder)
    return result, False


def _kept(folder: Path, key: str, kind: type[R]) -> R | None:
    try:
        record = decode_own_json((folder / RESULT).read_bytes(), StepRecord)
        return decode_own_json(bytes(record.result), kind) if record.key == key else None
    except (OSError, msgspec.MsgspecError):  # nothing that can be relied on: it is made anew
        return None
