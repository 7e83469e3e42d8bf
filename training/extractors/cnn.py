"""The image extractor as a CNN of timm: features of some stages, averaged over neighbors and side by side.

As PatchCore takes them (Roth et al., arXiv 2106.08265, section 3.1): every chosen stage is averaged over 3 x 3 places,
brought to the finest stage's grid, and all are concatenated.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...runtime.errors import UsageError
from ...runtime.patches.pooling import PATCH_GRID
from ...runtime.sensor.image import IMAGENET_MEAN, IMAGENET_STD
from .vit import IMAGE_SIZE

# The embedded extractor: EfficientNet-Lite0 (Tan and Le, ICML 2019; Apache-2.0), cut after its 14 x 14 stage.
CNN_EMBEDDED, STRIDES_EMBEDDED, GAINS_EMBEDDED = "tf_efficientnet_lite0", (8, 16), (0.125, 0.125)
DEFAULT_STRIDES = (8, 16)
# How far around a place features are averaged.
NEIGHBORHOOD = 3


class ImageCnn(nn.Module):
    """A CNN that answers with tokens: the features of its chosen stages at every place of the finest of them.

    Attributes:
        backbone: timm's model, cut after the last chosen stage.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, name: str, strides: Sequence[int] = DEFAULT_STRIDES, gains: Sequence[float] = ()) -> None:
        """Build it with random weights.

        Args:
            name: timm's.
            strides: of the chosen stages: 8 is the one that has a feature every 8 pixels.
            gains: what each stage's features are multiplied by, to weigh them; () is 1 for all.

        Raises:
            UsageError: timm has none of this name, or it has no such stages.
        """
        super().__init__()
        self.backbone: Any = _backbone(name)
        self._stages, self.token_dim = _stages_at(name, self.backbone, strides)
        self._gains = tuple(gains) or (1.0,) * len(self._stages)
        scale, shift = _from_imagenet(self.backbone.pretrained_cfg)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)

    def cut(self) -> ImageCnn:
        """Drop what comes after the last chosen stage, once the weights are loaded."""
        self.backbone.prune_intermediate_layers(list(self._stages), prune_norm=True, prune_head=True)
        return self

    def forward(self, image: Tensor) -> Tensor:
        """Tokens, row by row.

        Args:
            image: (B, 3, 224, 224) float32, normalized with ImageNet's mean and standard deviation.

        Returns:
            (B, T, dim) float32; T = 784 where the finest stage has stride 8.
        """
        maps: list[Tensor] = self.backbone.forward_intermediates(
            image * self.scale + self.shift, indices=list(self._stages), stop_early=True, intermediates_only=True
        )
        around = [
            functional.avg_pool2d(features * gain, NEIGHBORHOOD, 1, NEIGHBORHOOD // 2, count_include_pad=False)
            for features, gain in zip(maps, self._gains, strict=True)
        ]
        finest = around[0].shape[-2:]
        coarser = [functional.interpolate(other, finest, mode="bilinear", align_corners=False) for other in around[1:]]
        return torch.cat([around[0], *coarser], dim=1).flatten(2).transpose(1, 2)


def timm_image_cnn(name: str) -> ImageCnn:
    """A CNN of timm by name, its stages after an `@`.

    Raises:
        UsageError: timm has none of this name, or it has no such stages.

    Example:
        >>> timm_image_cnn("resnet18@8,16").token_dim
        384
    """
    model, _, chosen = name.partition("@")
    if not chosen:
        return ImageCnn(model)
    if not re.fullmatch(r"\d{1,3}(,\d{1,3})*", chosen):
        raise UsageError(f"{name}: stages are chosen by their strides, as in {model}@8,16")
    return ImageCnn(model, sorted(map(int, chosen.split(","))))


def embedded_image_cnn() -> ImageCnn:
    """The embedded extractor's architecture, cut, with random weights."""
    return ImageCnn(CNN_EMBEDDED, STRIDES_EMBEDDED, GAINS_EMBEDDED).cut()


def _backbone(name: str) -> Any:
    try:
        model: Any = timm.create_model(name, pretrained=False, num_classes=0)
    except (RuntimeError, TypeError) as cause:
        raise UsageError(f"{name}: timm does not make this model ({cause})") from cause
    if not all(hasattr(model, wanted) for wanted in ("feature_info", "forward_intermediates")):
        raise UsageError(f"{name}: timm gives no features of this model's stages: choose a CNN such as resnet50")
    return model


def _stages_at(name: str, backbone: Any, strides: Sequence[int]) -> tuple[tuple[int, ...], int]:
    """The stages' numbers, and how wide they are together."""
    stages = {int(stage["reduction"]): number for number, stage in enumerate(backbone.feature_info)}
    missing = [stride for stride in strides if stride not in stages]
    if missing:
        raise UsageError(
            f"{name}: has no stage of stride {', '.join(map(str, missing))}: choose of "
            f"{', '.join(map(str, stages))}, as in {name}@{','.join(map(str, list(stages)[-3:-1]))}"
        )
    if PATCH_GRID % (IMAGE_SIZE // strides[0]):
        raise UsageError(
            f"{name}: stage {strides[0]} does not divide {PATCH_GRID}x{PATCH_GRID} patches: begin at 4 or 8"
        )
    widths = [int(backbone.feature_info[stages[stride]]["num_chs"]) for stride in strides]
    return tuple(stages[stride] for stride in strides), sum(widths)


def _from_imagenet(expected: Any) -> tuple[Tensor, Tensor]:
    """Scale and shift (1, 3, 1, 1) from ImageNet's normalization to what the model was trained with."""
    mean, std = (torch.tensor(expected[key], dtype=torch.float64) for key in ("mean", "std"))
    own_mean, own_std = (torch.from_numpy(values).double() for values in (IMAGENET_MEAN, IMAGENET_STD))
    scale, shift = own_std / std, (own_mean - mean) / std
    return scale.float().view(1, 3, 1, 1), shift.float().view(1, 3, 1, 1)
