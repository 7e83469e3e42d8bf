"""The files of one result: a folder a day, and names that begin with the part's number, so that no two share one."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ..choices import Written
from ..errors import CmdiadError, OutputError, as_cmdiad_error
from ..files.atomic import atomic_write_bytes
from ..files.json_encoding import encode_json_file, escape_name
from ..files.moving import copy_file
from ..inspection import Inspection
from ..timing import StageTimes
from ..verdict.cloud import write_cloud
from ..verdict.heatmap import write_heatmap, write_map
from .arrival import PartRecord

REJECTED = "rejected"
_UNSPEAKABLE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 80
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


def write_inspection(out: Path, stem: str, inspection: Inspection, wanted: WantedFiles) -> WrittenFiles:
    """Write the files of an inspection that are wanted, at the same time: most of it is waiting for the disk."""
    names = _names(stem, inspection, wanted)
    if not names:
        return WrittenFiles()
    times = StageTimes()
    with times.stage("write"), ThreadPoolExecutor(len(names), "write") as pool:
        writing = {kind: pool.submit(_failure, kind, out / name, inspection) for kind, name in names.items()}
        failures = {kind: failure.result() for kind, failure in writing.items()}
    paths = {kind: name for kind, name in names.items() if failures[kind] is None}
    return WrittenFiles(paths, next(filter(None, failures.values()), None), times)


def _names(stem: str, inspection: Inspection, wanted: WantedFiles) -> dict[str, str]:
    """The files that are wanted of an inspection, by kind."""
    names: dict[str, str] = {}
    if is_wanted(wanted.heatmaps, inspection):
        names |= {"heatmap": f"{stem}_heatmap.png", "map": f"{stem}_map.tiff"}
    if is_wanted(wanted.clouds, inspection) and inspection.points is not None:
        names["cloud"] = f"{stem}_cloud.ply"
    return names


def is_wanted(which: Written, inspection: Inspection) -> bool:
    """Whether a kind of file is wanted of a part."""
    return which == "all" or (which == "defects" and inspection.is_defect)


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


def _failure(kind: str, path: Path, inspection: Inspection) -> CmdiadError | None:
    """Why a file could not be written; None where it was."""
    try:
        if kind == "heatmap":
            threshold = inspection.pixel_threshold
            write_heatmap(path, inspection.map, inspection.valid, threshold, inspection.points, inspection.rgb)
        elif kind == "map":
            write_map(path, inspection.map)
        else:
            write_cloud(path, inspection)
    except Exception as cause:
        known = as_cmdiad_error(cause)
        return OutputError(str(known)) if isinstance(cause, OSError) else known
    return None
