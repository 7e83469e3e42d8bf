"""What comes to the line, and what becomes of it: the values that sources, journal, sinks and pages hand on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ..choices import Verdict


@dataclass(frozen=True)
class FileVersion:
    """One state of a file: a new one under the same name is another part.

    Attributes:
        name: of the file, relative to the source's folder, with forward slashes.
        size: bytes.
        mtime_ns: when it was last written, nanoseconds.
    """

    name: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class FileContent:
    """What the files of a part hold, in memory.

    Attributes:
        data: of the scan; of the image, where an image is all that is measured.
        image: of the registered image, where a route measures both.
    """

    data: bytes
    image: bytes | None = None


@dataclass(frozen=True, eq=False)
class RawPoints:
    """A scan as bare numbers: what a file of them would hold.

    Attributes:
        points: (H, W, 3), in the unit of the product's scan files; by their geometry also (H, W) depths or heights.
    """

    points: npt.NDArray[np.floating | np.integer]


@dataclass(frozen=True)
class Arrival:
    """A part that came to the line.

    Attributes:
        source: the name of the source that it came from.
        scan: what its scan is called in results: a path, or the name that a request gave.
        path: the scan's file; None if `content` holds it.
        content: the scan itself.
        part_id: the plant's name for the part; None if it gave none.
        product: which bundle is to inspect it; None: the first.
        version: which version of a file in a hot folder.
    """

    source: str
    scan: str
    path: Path | None = None
    content: FileContent | RawPoints | None = None
    part_id: str | None = None
    product: str | None = None
    version: FileVersion | None = None


@dataclass(frozen=True)
class Accepted:
    """An arrival that has its number: nothing is accepted twice, and everything accepted gets one result.

    Attributes:
        number: in the order of acceptance.
        arrival: what came.
        accepted_at: seconds since 1970.
        deaths: how often the process ended while this part was in progress.
        tries: how often it could not be inspected.
        is_kept: whether the journal keeps it until it has its result: a request is lost with its connection.
    """

    number: int
    arrival: Arrival
    accepted_at: float
    deaths: int = 0
    tries: int = 0
    is_kept: bool = True


class PartRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The one result of one part, as in the journal, in the result's file, and in what sinks deliver.

    Attributes:
        number: in the order of acceptance.
        source: the name of the source that it came from.
        scan: what its scan is called.
        part_id: the plant's name for the part; null if it gave none.
        product: the product that it was inspected as.
        bundle: the SHA-256 of that product's bundle's manifest; null if no bundle got to inspect it.
        accepted_at: seconds since 1970.
        finished_at: seconds since 1970.
        verdict: good or defect; error: it was not inspected, and `result` says why.
        score: null if the part was not inspected.
        threshold: null if the part was not inspected.
        result: what `infer --json` says of a scan, and the paths of its files relative to the folder of results.
    """

    number: int
    source: str
    scan: str
    part_id: str | None
    product: str | None
    bundle: str | None
    accepted_at: float
    finished_at: float
    verdict: Verdict
    score: float | None
    threshold: float | None
    result: dict[str, Any]
