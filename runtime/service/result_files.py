"""The files of one result: a folder a day, and names that begin with the part's number, so that no two share one."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from ..choices import Written
from ..errors import CmdiadError, OutputError, as_cmdiad_error
from ..files.atomic import atomic_write_bytes
from ..files.json_encoding import encode_json_file, escape_name
from ..files.moving import copy_file
from ..inspector import Inspection
from ..timing import StageTimes
from ..verdict.heatmap import write_heatmap, write_map
from .arrival import PartRecord

REJECTED = "rejected"
_UNSPEAKABLE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 80
# A rejected scan that is larger than any that is read stays where it is.
MAX_KEPT_BYTES = 1 << 30


@dataclass(frozen=True)
class WrittenFiles:
    """What was written of an inspection.

    Attributes:
        paths: by kind, relative to the folder of results.
        error: why a file could not be written; the verdict stands all the same.
        times: how long it took.
    """

    paths: dict[str, str] = field(default_factory=dict)
    error: CmdiadError | None = None
    times: StageTimes = field(default_factory=StageTimes)


def file_stem(number: int, scan: str, accepted_at: float) -> str:
    """The path of a part's files below the folder of results, without suffix: by the day of acceptance, UTC.

    Example:
        >>> file_stem(12, "in/part 7.tiff", 0.0)
        '1970-01-01/000012_part_7.tiff'
    """
    day = datetime.fromtimestamp(accepted_at, UTC).date().isoformat()
    name = _UNSPEAKABLE.sub("_", escape_name(scan).replace("\\", "/").rsplit("/", 1)[-1])
    return f"{day}/{number:06d}_{name[-_LONGEST_NAME:] or 'scan'}"


def write_inspection(out: Path, stem: str, inspection: Inspection, written: Written) -> WrittenFiles:
    """Write heat map and map of an inspection, where they are wanted."""
    if written == "none" or (written == "defects" and not inspection.is_defect):
        return WrittenFiles()
    times, paths = StageTimes(), {}
    threshold = inspection.pixel_threshold
    picture = partial(
        write_heatmap,
        map_hw=inspection.map,
        valid_hw=inspection.valid,
        threshold=threshold,
        points_hw3=inspection.points,
        rgb_hw3=inspection.rgb,
    )
    writers: dict[str, tuple[str, Callable[[Path], None]]] = {
        "heatmap": (f"{stem}_heatmap.png", picture),
        "map": (f"{stem}_map.tiff", partial(write_map, map_hw=inspection.map)),
    }
    error: CmdiadError | None = None
    with times.stage("write"):
        for kind, (name, write) in writers.items():
            failure = _failure(partial(write, out / name))
            error = error or failure
            if failure is None:
                paths[kind] = name
    return WrittenFiles(paths, error, times)


def write_record(out: Path, stem: str, record: PartRecord) -> None:
    """Write a result as JSON beside its heat map; written again it has the same name.

    Raises:
        OutputError: it cannot be written.
    """
    atomic_write_bytes(out / f"{stem}_result.json", encode_json_file(record))


def keep_rejected(out: Path, stem: str, record: PartRecord, scan: Path | None) -> None:
    """Keep in `rejected/` why a part was not inspected, and its scan, where it can be read.

    Raises:
        OutputError: the reason cannot be written.
    """
    place = out / REJECTED / Path(stem).name
    atomic_write_bytes(place.with_name(f"{place.name}.reason.json"), encode_json_file(record))
    if scan is None or place.exists():
        return
    with suppress(OSError, OutputError):
        if scan.stat().st_size <= MAX_KEPT_BYTES:
            copy_file(scan, place)


def _failure(write: Callable[[], Any]) -> CmdiadError | None:
    try:
        write()
    except Exception as cause:
        known = as_cmdiad_error(cause)
        return OutputError(str(known)) if isinstance(cause, OSError) else known
    return None
