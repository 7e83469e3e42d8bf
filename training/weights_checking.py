"""Whether the weights at hand are what they should be: their digest, and that their network takes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from ..runtime.bundle.reading import file_digest
from ..runtime.errors import CmdiadError, WeightsError
from .extractors.by_name import POINT_NETWORKS, open_extractor
from .routes.distillation import DISTILLATIONS
from .routes.route_checkpoints import open_route_checkpoint
from .weights.published import PUBLISHED, PublishedWeights, present_file, published_weights, weights_folder

OK = "ok"


class WeightsVerdict(msgspec.Struct, frozen=True):
    """One file, checked; the documented object of `cmdiad weights verify --json`.

    Attributes:
        name: the extractor's or route's.
        path: the file.
        sha256: its digest.
        verdict: `ok`, or what is wrong in words.
    """

    name: str
    path: str
    sha256: str
    verdict: str


def verify_weights(names: Sequence[str]) -> list[WeightsVerdict]:
    """Check published files in the weights folder.

    Args:
        names: which; empty: all that are there.

    Raises:
        WeightsError: there are no such weights, one that was named is not there, or none is.
    """
    named = [published_weights(name) for name in dict.fromkeys(names)]
    entries = named or [entry for entry in PUBLISHED if present_file(entry)]
    if not entries:
        raise WeightsError(
            f"{weights_folder()}: there are no weights here: see `cmdiad weights list` for their sources"
        )
    verdicts = []
    for entry in entries:
        path = present_file(entry)
        if path is None:
            raise WeightsError(f"{weights_folder() / entry.files[0]}: is not here: get it from {entry.source}")
        verdicts.append(_verdict(entry, path))
    return verdicts


def _verdict(entry: PublishedWeights, path: Path) -> WeightsVerdict:
    with path.open("rb") as stream:
        digest = file_digest(stream, path.stat().st_size)
    verdict = OK
    if entry.sha256 is not None and digest != entry.sha256:
        verdict = f"is not the published file, whose SHA-256 is {entry.sha256}"
    else:
        try:
            _load(entry.name, path)
        except CmdiadError as refusal:
            verdict = str(refusal)
    return WeightsVerdict(entry.name, str(path), digest, verdict)


def _load(name: str, path: Path) -> None:
    """Fill the weights' network with them; says why not, if they are another's."""
    if name.split("-")[0] in DISTILLATIONS:
        route, _ = open_route_checkpoint(path)
        if name.split("-")[0] != route.name:
            raise WeightsError(f"{path}: holds an {route.name.upper()} network: put it under its own name")
    else:
        open_extractor(name, "pc" if name in POINT_NETWORKS else "rgb", str(path))
