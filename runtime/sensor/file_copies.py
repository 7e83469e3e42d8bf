"""Scans that are the same file twice: a part that counts twice says less than it seems to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError
from .dataset import Sample, Split, file_digests
from .in_memory import PartSource

_GLIMPSE = 4096
_NAMED = 3
REMOVE_COPIES = "remove the copies, or record again if the sensor was frozen"


def copies_among(scans: Sequence[PartSource], digests: Sequence[bytes]) -> list[str]:
    """Which scans are the same file again, by their digests: a sentence each.

    Example:
        >>> from pathlib import Path
        >>> copies_among([Path("a.tiff"), Path("b.tiff")], [b"1", b"1"])
        ['b.tiff is the same scan as a.tiff']
    """
    first: dict[bytes, PartSource] = {}
    sentences = []
    for scan, digest in zip(scans, digests, strict=True):
        known = first.setdefault(digest, scan)
        if known != scan:
            sentences.append(f"{scan} is the same scan as {known}")
    return sentences


def refuse_copies(scans: Sequence[PartSource], digests: Sequence[bytes]) -> None:
    """Refuse copies: a scan is scored without its own patches in the banks, but its copy's would be in them.

    The threshold would be made from scores of almost nothing.

    Raises:
        UsageError: two files are the same; the message names them.
    """
    if sentences := copies_among(scans, digests):
        more = f", and {len(sentences) - 1} more" if len(sentences) > 1 else ""
        raise UsageError(f"{sentences[0]}{more}: each part counts once: {REMOVE_COPIES}")


def scans_in_both(split: Split, samples: Sequence[Sample], other_split: Split, others: Sequence[Sample]) -> list[str]:
    """Which scans of a split of a class are files of another split too: `validation/good/000 (test/good/001)`.

    Raises:
        ScanError: a file cannot be read.
    """
    glimpses = [_glimpse(other.scan) for other in others] if samples else []
    copies = []
    for sample in samples:
        seen = _glimpse(sample.scan)
        similar = [other for other, glimpse in zip(others, glimpses, strict=True) if glimpse == seen]
        twin = next((other for other in similar if _are_equal(sample.scan, other.scan)), None)
        if twin is not None:
            copies.append(f"{split}/{sample.defect}/{sample.name} ({other_split}/{twin.defect}/{twin.name})")
    return copies


def _glimpse(file: Path) -> tuple[int, bytes]:
    """The size of a file and some of its middle, where a scan shows its part: to read a whole dataset takes minutes."""
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(size // 2)
            return size, stream.read(_GLIMPSE)
    except OSError:
        # Says what is wrong with it.
        return 0, file_digests([file])[0]


def _are_equal(first: Path, second: Path) -> bool:
    digest, other = file_digests([first, second])
    return digest == other


def listed(names: Sequence[str]) -> str:
    """The first three names, and how many more there are.

    Example:
        >>> listed(["a", "b", "c", "d", "e"])
        'a, b, c, and 2 more'
    """
    more = f", and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
