"""What normal scans show of their parts, gathered while they are prepared: for the bundle, and to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..runtime.bundle.health_baseline import HealthBaseline
from ..runtime.bundle.manifest import Manifest
from ..runtime.bundle.parameters import PartRange, Preprocessing
from ..runtime.health.measures import baseline_of
from ..runtime.patches.routes import modalities
from ..runtime.preparation.part_range import range_of
from ..runtime.preparation.part_view import OtherObject, PartView
from ..runtime.preparation.prepared_part import PreparedPart, kept_in_all
from ..runtime.preparation.raw_or_preprocessed import Settled
from ..runtime.preparation.settling import settle_scans, short_name
from ..runtime.preparation.window_size import decide_window
from ..runtime.progress import Progress
from ..runtime.sensor.in_memory import PartSource
from ..runtime.sensor.origin import Vector
from ..runtime.sensor.part import Part
from .contact_sheet import TILE, Tile, contact_sheet, evenly_chosen
from .copies import KnownParts
from .disagreements import disagreements


def settled_preprocessing(
    manifest: Manifest, asked: Preprocessing, scans: Sequence[PartSource], progress: Progress
) -> Settled:
    """Whether these scans are raw, and how large the part's window is, decided once from them.

    An image has no plane.

    Raises:
        ScanError: a scan cannot be read.
        UsageError: scans are of both kinds.
    """
    measured = modalities(manifest)
    settled = Settled(asked, "")
    if "pc" in measured:
        settled = settle_scans(asked, scans, lambda done, total: progress("raw or preprocessed", done, total, ""))

    def report(done: int, total: int) -> None:
        progress("window", done, total, "")

    decided = decide_window(settled.preprocessing, scans, measured, progress=report)
    return replace(settled, preprocessing=decided)


def decided_preprocessing(manifest: Manifest, scans: Sequence[Path]) -> Preprocessing:
    """A bundle's preprocessing, what nobody has decided yet decided from these scans.

    Raises:
        ScanError: a scan cannot be read.
        UsageError: scans are of both kinds.
    """
    known = manifest.preprocessing
    has_window = known.window != "part" or known.window_pixels is not None
    if not scans or (has_window and not known.is_undecided):
        return known
    return settled_preprocessing(manifest, known, scans, lambda *_: None).preprocessing


class Survey:
    """Fed with every scan in order.

    Attributes:
        scan_of: the number of every part's scan, from 0.
        parts: every part: its scan or, where scans show several, `SCAN#NUMBER`.
        known: what was measured of them.
    """

    def __init__(self, scans: Sequence[PartSource]) -> None:
        self.scan_of: list[int] = []
        self.parts: list[PartSource | str] = []
        self._scans = scans
        self._names = [short_name(scan) for scan in scans]
        self._added: list[int] = []
        self._part_names: list[str] = []
        self.known = KnownParts()
        self._drawn = set(evenly_chosen(len(scans)))
        self._views: list[PartView] = []
        self._origins: list[Vector] = []
        self._tiles: list[Tile] = []

    def add(self, part: Part, prepared: Sequence[PreparedPart]) -> None:
        """The next scan, with its parts.

        Raises:
            UsageError: one of them was there before, in another file.
        """
        number = len(self._added)
        self._added.append(len(prepared))
        scan, name = self._scans[number], self._names[number]
        for index, one in enumerate(prepared, 1):
            self.scan_of.append(number)
            self.parts.append(scan if len(prepared) == 1 else f"{scan}#{index}")
            self.known.require_new(one, self.parts[-1])
            self._part_names.append(name if len(prepared) == 1 else f"{name}#{index}")
            self._views.append(one.view)
            self._origins.append(part.origin)
        if number in self._drawn:
            self._tiles.append(_small_tile(name, part, kept_in_all(prepared), prepared[0].view.other_objects))

    def part_range(self) -> PartRange:
        """What was seen; at least one scan."""
        return range_of(self._views)

    def health(self, scores: Sequence[float]) -> HealthBaseline:
        """What sensor, table and parts measured, with the scans' scores in the same order."""
        return baseline_of(self._views, self._origins, scores)

    def warnings(self) -> list[str]:
        """What should be looked at before these scans are called normal, a sentence each."""
        return disagreements(self._views, self._part_names)

    def sheet(self) -> npt.NDArray[np.uint8]:
        """(H, W, 3), up to 64 of the scans, with what was taken as the part in each."""
        return contact_sheet(self._tiles)


def _small_tile(name: str, part: Part, kept: npt.NDArray[np.bool_], beside: Sequence[OtherObject]) -> Tile:
    """Thinned to twice a tile's pixels: sixty scans of a few million points each do not fit into memory."""
    picture = part.rgb if part.points is None else part.points
    assert picture is not None
    step = -(-max(picture.shape[:2]) // (2 * TILE))
    others = tuple(
        replace(other, pixels=other.pixels // step**2, row=other.row // step, column=other.column // step)
        for other in beside
    )
    return Tile(name, picture[::step, ::step].copy(), kept[::step, ::step].copy(), others)
