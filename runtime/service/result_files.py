"""The files of one result: one folder per day, and names that begin with the part's number, so that all differ."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..choices import Written
from ..errors import CmdiadError, OutputError, as_cmdiad_error
from ..files.atomic import atomic_write_bytes
from ..files.json_encoding import encode_json_file, escape_name
from ..files.moving import copy_file
from ..inspection import FileKind, Inspection
from ..inspection_files import FilesOfPart, wanted_kinds, write_files
from .arrival import PartRecord

REJECTED = "rejected"
_UNSPEAKABLE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 80
_ENDINGS: dict[FileKind, str] = {"heatmap": "_heatmap.png", "map": "_map.tiff", "cloud": "_cloud.ply"}
# A rejected scan that is larger than any that is read stays where it is.
MAX_KEPT_BYTES = 1 << 30


@dataclass(frozen=True)
class WantedFiles:
    """Of which parts files are written.

    Attributes:
        heatmaps: heat map and map.
        clouds: the part's points in the heat map's colors.
    """

    heatmaps: Written = "all"
    clouds: Written = "none"


NOTHING_WANTED = WantedFiles("none", "none")


def file_stem(number: int, scan: str, accepted_at: float) -> str:
    """The path of a part's files below the folder of results, without suffix: by the day of acceptance, UTC.

    Example:
        >>> file_stem(12, "in/part 7.tiff", 0.0)
        '1970-01-01/000012_part_7.tiff'
    """
    day = datetime.fromtimestamp(accepted_at, UTC).date().isoformat()
    name = _UNSPEAKABLE.sub("_", escape_name(scan).replace("\\", "/").rsplit("/", 1)[-1])
    return f"{day}/{number:06d}_{name[-_LONGEST_NAME:] or 'scan'}"


def write_inspection(out: Path, stem: str, inspection: Inspection, wanted: WantedFiles) -> FilesOfPart:
    """Write the files of an inspection that are wanted; an image alone has no cloud."""
    kinds = wanted_kinds(inspection, wanted.heatmaps, wanted.clouds)
    has_points = inspection.points is not None
    paths = {kind: out / file_name(stem, kind) for kind in kinds if has_points or kind != "cloud"}
    return write_files(inspection, paths, _refused)


def file_name(stem: str, kind: FileKind) -> str:
    """The path of a part's file of a kind, relative to the folder of results."""
    return f"{stem}{_ENDINGS[kind]}"


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


def _refused(cause: Exception) -> CmdiadError:
    known = as_cmdiad_error(cause)
    return OutputError(str(known)) if isinstance(cause, OSError) else known
