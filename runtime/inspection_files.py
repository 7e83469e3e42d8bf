"""The files of an inspection, written at the same time: most of it is waiting for the disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from .choices import Written
from .errors import CmdiadError
from .inspection import FileKind, Inspection
from .timing import StageTimes


@dataclass(frozen=True)
class FilesOfPart:
    """What became of the files of one inspection.

    Attributes:
        written: the kinds of those that are there.
        error: why the first of the others could not be written; the verdict stands all the same.
        times: how long it took.
    """

    written: tuple[FileKind, ...] = ()
    error: CmdiadError | None = None
    times: StageTimes = field(default_factory=StageTimes)


def wanted_kinds(inspection: Inspection, heatmaps: Written, clouds: Written) -> tuple[FileKind, ...]:
    """The files that are wanted of a part.

    Args:
        inspection: the part's.
        heatmaps: of which parts heat map and raw map are.
        clouds: of which parts the colored points are.
    """
    kinds: list[FileKind] = []
    if _is_wanted(heatmaps, inspection):
        kinds += ["heatmap", "map"]
    if _is_wanted(clouds, inspection):
        kinds.append("cloud")
    return tuple(kinds)


def write_files(
    inspection: Inspection, paths: Mapping[FileKind, Path], refusal: Callable[[Exception], CmdiadError]
) -> FilesOfPart:
    """Write files of an inspection.

    Args:
        inspection: the part's.
        paths: by kind.
        refusal: names what kept a file from being written.
    """
    if not paths:
        return FilesOfPart()

    def failure(kind: FileKind) -> CmdiadError | None:
        try:
            inspection.write(kind, paths[kind])
        except Exception as cause:
            return refusal(cause)
        return None

    times = StageTimes()
    with times.stage("write"), ThreadPoolExecutor(len(paths), "write") as beside:
        failures = dict(zip(paths, beside.map(failure, paths), strict=True))
    there = tuple(kind for kind, error in failures.items() if error is None)
    return FilesOfPart(there, next(filter(None, failures.values()), None), times)


def _is_wanted(which: Written, inspection: Inspection) -> bool:
    return which == "all" or (which == "defects" and inspection.is_defect)
