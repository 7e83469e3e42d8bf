"""Extractors by name, ready to run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from torch import nn

from ...runtime.errors import UsageError
from ...runtime.grouping import Grouping
from ...runtime.manifest import Modality
from .loading import load_embedded_image_extractor, load_embedded_point_extractor
from .point_transformer import POINT_EMBEDDED

EMBEDDED = "embedded"


@dataclass(frozen=True)
class Extractor:
    """A frozen network with what must be known about it.

    Attributes:
        name: as it was asked for; recorded in runs and bundles.
        modality: what it looks at.
        network: in eval mode.
        grouping: the point extractor's G and M; None for an image extractor.
        digest: SHA-256 of the weights.
    """

    name: str
    modality: Modality
    network: nn.Module
    grouping: Grouping | None
    digest: str


def open_extractor(name: str, modality: Modality) -> Extractor:
    """An extractor by name.

    Raises:
        UsageError: there is none of this name.
    """
    if name != EMBEDDED:
        raise UsageError(f"there is no {modality} extractor {name!r}: choose {EMBEDDED}")
    network: nn.Module
    if modality == "pc":
        network = load_embedded_point_extractor()
        return Extractor(name, modality, network, POINT_EMBEDDED.grouping, weights_digest(network))
    network = load_embedded_image_extractor()
    return Extractor(name, modality, network, None, weights_digest(network))


def weights_digest(network: nn.Module) -> str:
    """SHA-256 over the names and values of a network's parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()
