"""A scan of several parts as one inspection: the worst verdict, the parts, and what was not judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .errors import ScanError
from .inspection import Inspection, RefusedPart


def whole_scan(parts: Sequence[Inspection], refused: Sequence[RefusedPart]) -> Inspection:
    """The one result of a scan.

    Args:
        parts: of its parts, in reading order.
        refused: what of it was not judged.

    Raises:
        ScanError: no part of it was judged; says why not.
    """
    if not parts:
        raise ScanError("; ".join(str(one.error) for one in refused))
    worst = max(parts, key=lambda part: part.score)
    map_hw, valid = worst.map.copy(), np.zeros_like(worst.valid)
    for part in parts:
        np.maximum(map_hw, part.map, out=map_hw)
    for part in parts:
        # A window reaches over neighbors, of which its own part knows nothing.
        np.copyto(map_hw, part.map, where=part.valid)
        valid |= part.valid
    seconds: Counter[str] = Counter()
    for part in parts:
        seconds.update(part.seconds)
    return replace(
        worst,
        map=map_hw,
        valid=valid,
        seconds=dict(seconds),
        spans=tuple(span for part in parts for span in part.spans),
        searched_again=sum(part.searched_again for part in parts),
        notes=_all_notes(parts),
        number=None,
        of=None,
        parts=tuple(parts),
        refused=tuple(refused),
    )


def _all_notes(parts: Sequence[Inspection]) -> tuple[str, ...]:
    """Those of all parts once, and of the others which part they are about."""
    of_all = [note for note in parts[0].notes if all(note in part.notes for part in parts)]
    own = [f"part {part.number}: {note}" for part in parts for note in part.notes if note not in of_all]
    return (*of_all, *own)
