"""Extractors by name, ready to run: the embedded pair, Point-MAE, Point-BERT, and ViTs and CNNs of timm."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from torch import nn

from ...runtime.bundle.parameters import Grouping, Modality
from ...runtime.errors import UsageError, WeightsError
from ..weights.checkpoints import (
    CNN,
    POINT_BERT,
    POINT_MAE,
    VIT,
    CheckpointFormat,
    load_checkpoint,
)
from ..weights.published import find_weights
from .cnn import ImageCnn, timm_image_cnn
from .loading import load_embedded_image_extractor, load_embedded_point_extractor
from .point_transformer import POINT_BERT_FULL, POINT_EMBEDDED, POINT_MAE_FULL, PointTransformer, PointTransformerConfig
from .vit import PUBLISHED_VITS, ImageTransformer, timm_image_transformer

EMBEDDED = "embedded"
RANDOM = "random:"
_VIT_MODULES = ["vision_transformer", "deit"]
POINT_NETWORKS: dict[str, tuple[PointTransformerConfig, CheckpointFormat]] = {
    "point-mae": (POINT_MAE_FULL, POINT_MAE),
    "point-bert": (POINT_BERT_FULL, POINT_BERT),
}


@dataclass(frozen=True)
class Extractor:
    """A frozen network with what must be known about it.

    Attributes:
        name: as it was asked for; recorded in runs and bundles.
        modality: what it looks at.
        network: in eval mode.
        grouping: the point extractor's G and M; None for an image extractor.
        digest: SHA-256 of the weights.
        checkpoint: where the weights came from: a file, or `random:SEED`; None for the embedded ones.
    """

    name: str
    modality: Modality
    network: nn.Module
    grouping: Grouping | None
    digest: str
    checkpoint: str | None = None

    @property
    def dim(self) -> int:
        """Width of the features."""
        network = self.network
        if isinstance(network, PointTransformer):
            return network.config.token_dim
        assert isinstance(network, ImageTransformer | ImageCnn)
        return network.token_dim


def open_extractor(name: str, modality: Modality, checkpoint: str | None = None) -> Extractor:
    """An extractor by name.

    Args:
        name: `embedded`; for points `point-mae` or `point-bert`; for images a ViT of timm, or a CNN of timm with the
            strides of the stages that it shall take: `resnet50@8,16`.
        modality: pc or rgb.
        checkpoint: a weights file, or `random:SEED` for seeded random weights; None: the published file in the
            weights folder (`cmdiad weights path`).

    Raises:
        UsageError: there is none of this name.
        WeightsError: its weights are missing or do not fit.

    Example:
        >>> open_extractor("embedded", "pc").dim
        192
    """
    if name == EMBEDDED:
        return _open_embedded(modality, checkpoint)
    if modality == "rgb" and not timm.is_model(_model_of(name)):
        raise UsageError(
            f"there is no image extractor {name!r}: choose one of {', '.join([EMBEDDED, *PUBLISHED_VITS])}, or a CNN "
            "of timm such as resnet50@8,16"
        )
    build, grouping, layout = _architecture(name, modality)
    if checkpoint is not None and checkpoint.startswith(RANDOM):
        network = _seeded(build, checkpoint)
    else:
        option = "--point-checkpoint" if modality == "pc" else "--image-checkpoint"
        file = find_weights(_model_of(name), checkpoint, option)
        checkpoint = str(file)
        network = build(False)
        load_checkpoint(_weighted(network), file, layout)
    if isinstance(network, ImageCnn):
        network.cut()
    return Extractor(name, modality, network.eval(), grouping, weights_digest(network), checkpoint)


def reopen_extractor(name: str, modality: Modality, checkpoint: str | None, digest: str) -> Extractor:
    """The very extractor that a run was trained with, from its file or, if that has moved, the weights folder.

    Raises:
        WeightsError: the weights are missing, or are others.
    """
    moved = checkpoint is not None and not checkpoint.startswith(RANDOM) and not Path(checkpoint).is_file()
    extractor = open_extractor(name, modality, None if moved else checkpoint)
    if extractor.digest != digest:
        raise WeightsError(
            f"{extractor.checkpoint or name}: these are not the weights that the run was trained with (SHA-256 "
            f"{extractor.digest[:16]}, not {digest[:16]}): bring those back, or train again with these"
        )
    return extractor


def _open_embedded(modality: Modality, checkpoint: str | None) -> Extractor:
    if checkpoint is not None:
        raise UsageError(f"the embedded {modality} extractor has its own weights: name another one for {checkpoint}")
    network: nn.Module
    if modality == "pc":
        network = load_embedded_point_extractor()
        return Extractor(EMBEDDED, modality, network, POINT_EMBEDDED.grouping, weights_digest(network))
    network = load_embedded_image_extractor()
    return Extractor(EMBEDDED, modality, network, None, weights_digest(network))


def _model_of(name: str) -> str:
    """A CNN's name without the stages that are chosen of it."""
    return name.partition("@")[0]


def _weighted(network: nn.Module) -> nn.Module:
    """What a published file holds the weights of."""
    if isinstance(network, ImageTransformer):
        return network.vit
    return network.backbone if isinstance(network, ImageCnn) else network


def _architecture(
    name: str, modality: Modality
) -> tuple[Callable[[bool], nn.Module], Grouping | None, CheckpointFormat]:
    """How to build a network (initialized or not), its grouping, and how its published file holds it."""
    if modality == "rgb" and timm.models.is_model_in_modules(_model_of(name), _VIT_MODULES):
        return lambda initialized: timm_image_transformer(name, initialized), None, VIT
    if modality == "rgb":
        return lambda _: timm_image_cnn(name), None, CNN
    if name not in POINT_NETWORKS:
        choices = ", ".join([EMBEDDED, *POINT_NETWORKS])
        raise UsageError(f"there is no point extractor {name!r}: choose one of {choices}")
    config, layout = POINT_NETWORKS[name]
    return lambda _: PointTransformer(config), config.grouping, layout


def _seeded(build: Callable[[bool], nn.Module], source: str) -> nn.Module:
    """Random weights from a seed; the caller's random numbers are left as they were."""
    digits = source.removeprefix(RANDOM)
    if not digits.isdecimal():
        raise UsageError(f"{source}: random weights need a seed: random:0")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(digits))
        return build(True)


def weights_digest(network: nn.Module) -> str:
    """SHA-256 over the names and values of a network's parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()
