"""Decided once, from all scans of a product: are they raw, and on which side of the plane do parts stand?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from ..bundle.parameters import Preprocessing
from ..errors import UsageError
from .supporting import PlaneEvidence, Side

# More scans than this that are of the other kind are no exceptions.
_MOST_EXCEPTIONS = 0.25
_UNLIKE_THE_OTHERS = "that parts stand on, unlike the others: look at them"
_NAMED = 3
# So many fields that end at the same pixels, but for noise, are a sensor's; parts lie a little differently each time.
_LEAST_ALIKE, _SAME_PLACE = 3, 2
_SIDES: tuple[Side, ...] = ("origin", "grid", "mirrored")


@dataclass(frozen=True)
class PlaneDecision:
    """Whether the supporting plane is removed, why, and what speaks against it; one sentence each."""

    plane: Literal["always", "never"]
    reason: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class SideDecision:
    """On which side of the plane parts stand, and what speaks against it."""

    side: Side
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settled:
    """Preprocessing without an "auto" in it.

    Attributes:
        preprocessing: what to store and to prepare every scan with.
        reason: why scans count as raw or as preprocessed, one sentence.
        warnings: what speaks against it, one sentence each.
    """

    preprocessing: Preprocessing
    reason: str
    warnings: tuple[str, ...] = ()


def settle(preprocessing: Preprocessing, evidence: Sequence[PlaneEvidence], names: Sequence[str]) -> Settled:
    """Decide what is "auto" from all scans of a product, or of a dataset's class.

    Args:
        preprocessing: the sensor's; values other than "auto" are kept, with a warning if scans contradict them.
        evidence: `preparation.prepare.evidence_of` every scan, at least one.
        names: how the scans are called in messages.

    Raises:
        UsageError: scans are of both kinds; the message says what to do.
    """
    if preprocessing.plane == "auto":
        decision = decide_plane(evidence, names, preprocessing.border_valid_share)
    else:
        decision = _told(preprocessing.plane, evidence, names, preprocessing.border_valid_share)
    if decision.plane == "never":
        settled = msgspec.structs.replace(preprocessing, plane="never")
        return Settled(settled, decision.reason, decision.warnings)
    warnings, side = decision.warnings, preprocessing.side
    if side == "auto":
        decided = decide_side(evidence, names)
        side, warnings = decided.side, (*warnings, *decided.warnings)
    return Settled(msgspec.structs.replace(preprocessing, plane="always", side=side), decision.reason, warnings)


def decide_plane(
    evidence: Sequence[PlaneEvidence], names: Sequence[str], border_valid_share: float = 0.15
) -> PlaneDecision:
    """Whether scans are raw ("always") or were preprocessed before ("never"), by what most of them are.

    A plane on which nothing stands in any scan is not a table but flat parts. Scans that do not tell decide nothing.

    Args:
        evidence: `preparation.prepare.evidence_of` every scan, at least one.
        names: how the scans are called in messages.
        border_valid_share: see `Preprocessing`.

    Raises:
        UsageError: more than a quarter of the scans is of the other kind.
    """
    raw, cleared, unclear = (
        [number for number, scan in enumerate(evidence) if scan.verdict(border_valid_share) == verdict]
        for verdict in ("raw", "preprocessed", "unclear")
    )
    warnings = _unclear(evidence, names, unclear)
    if _one_field(evidence, unclear):
        raw = sorted(raw + unclear)
    if raw and not any(evidence[number].carries for number in raw):
        flat = "show a plane up to the image's border with nothing on it, and are taken as flat parts"
        told = f"{_some(names, raw)} {flat}: if it is a table, give --set preprocessing.plane=always"
        return PlaneDecision("never", _reason(evidence, raw), (*warnings, told))
    if not raw:
        return PlaneDecision("never", _reason(evidence, raw), warnings)
    if min(len(raw), len(cleared)) > _MOST_EXCEPTIONS * (len(raw) + len(cleared)):
        raise UsageError(
            f"{_some(names, raw)} show the plane that parts stand on, {_some(names, cleared)} do not: give scans of "
            "one kind, or add --set preprocessing.plane=always if all are raw, preprocessing.plane=never if none is"
        )
    plane: Literal["always", "never"] = "always" if len(raw) > len(cleared) else "never"
    exceptions = cleared if plane == "always" else raw
    if exceptions:
        shown = "do not show the plane" if plane == "always" else "show a plane"
        warnings = (*warnings, f"{_some(names, exceptions)} {shown} {_UNLIKE_THE_OTHERS}")
    return PlaneDecision(plane, _reason(evidence, raw), warnings)


def decide_side(evidence: Sequence[PlaneEvidence], names: Sequence[str]) -> SideDecision:
    """On which side of the plane parts stand: the rule that most scans obey, of equal ones the first of the three."""
    judged = [number for number, scan in enumerate(evidence) if scan.supports and scan.carries]
    obeyed = {side: [number for number in judged if _obeys(evidence[number], side)] for side in _SIDES}
    side = max(_SIDES, key=lambda name: len(obeyed[name]))
    against = [number for number in judged if number not in obeyed[side]]
    if not against:
        return SideDecision(side)
    told = (
        f"in {_some(names, against)} what is on the plane is on the opposite side from the other scans: "
        "are they all from one sensor, and is none of them mirrored?"
    )
    return SideDecision(side, (told,))


def _obeys(evidence: PlaneEvidence, side: Side) -> bool:
    if side == "origin":
        # An origin within the noise of the plane is on no side.
        on_origin_side = (evidence.origin_m > 0) == evidence.grid_side
        return on_origin_side and abs(evidence.origin_m) > 3 * evidence.rms_m
    return evidence.grid_side == (side == "grid")


def _told(
    plane: Literal["always", "never"],
    evidence: Sequence[PlaneEvidence],
    names: Sequence[str],
    border_valid_share: float,
) -> PlaneDecision:
    opposite = "preprocessed" if plane == "always" else "raw"
    against = [number for number, scan in enumerate(evidence) if scan.verdict(border_valid_share) == opposite]
    reason = f"preprocessing.plane={plane} was given"
    if not against:
        return PlaneDecision(plane, reason)
    what = "show no plane that parts stand on" if plane == "always" else "show a plane with something on it"
    return PlaneDecision(plane, reason, (f"{_some(names, against)} {what}, but {reason}",))


def _reason(evidence: Sequence[PlaneEvidence], raw: Sequence[int]) -> str:
    if not raw:
        return f"none of {len(evidence)} scans shows a plane that parts stand on: they count as preprocessed"
    shares = sorted(evidence[number].plane_share for number in raw)
    return (
        f"{len(raw)} of {len(evidence)} scans show a plane that parts stand on, with {shares[0]:.0%} to "
        f"{shares[-1]:.0%} of their points"
    )


def _unclear(evidence: Sequence[PlaneEvidence], names: Sequence[str], unclear: Sequence[int]) -> tuple[str, ...]:
    if not unclear:
        return ()
    first = evidence[unclear[0]].doubt()
    told = f"{_some(names, unclear)} cannot be recognized as raw or preprocessed ({names[unclear[0]]}: {first})"
    return (f"{told}: give --set preprocessing.plane=always or never",)


def _one_field(evidence: Sequence[PlaneEvidence], numbers: Sequence[int]) -> bool:
    """Whether scans with a plane that ends within the image all end at the same place: the sensor's field does."""
    boxes = [evidence[number].box for number in numbers if evidence[number].supports]
    if len(boxes) < max(_LEAST_ALIKE, len(numbers)):
        return False
    spreads = [max(side) - min(side) for side in zip(*boxes, strict=True)]
    return max(spreads) <= _SAME_PLACE


def _some(names: Sequence[str], numbers: Sequence[int]) -> str:
    """How many scans, and a few of their names."""
    shown = ", ".join(names[number] for number in numbers[:_NAMED])
    more = ", ..." if len(numbers) > _NAMED else ""
    return f"{len(numbers)} of {len(names)} scans ({shown}{more})"
