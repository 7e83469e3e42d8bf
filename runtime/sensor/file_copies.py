"""Scans that are the same file twice: a part that counts twice says less than it seems to."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import UsageError
from .in_memory import PartSource

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
