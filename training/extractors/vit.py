"""The image extractor: a timm ViT, whose last-layer patch tokens are the features.

CMDIAD section 3: DINO ViT-B/8 (Caron et al., ICCV 2021), the class token dropped, the final norm applied.
"""

from __future__ import annotations

import warnings
from typing import Any

import timm
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ...runtime.errors import UsageError
from ...runtime.patches.pooling import PATCH_GRID

IMAGE_SIZE = 224
PATCH_SIZE = 8
N_TOKENS = (IMAGE_SIZE // PATCH_SIZE) ** 2
VIT_BASE = "vit_base_patch8_224.dino"
VIT_SMALL = "vit_small_patch8_224.dino"
VIT_BASE_AUGREG = "vit_base_patch8_224.augreg_in21k"
PUBLISHED_VITS = (VIT_BASE, VIT_SMALL, VIT_BASE_AUGREG)
UNINITIALIZED: dict[str, Any] = {"weight_init": "skip"}


class ImageTransformer(nn.Module):
    """A ViT that answers with its patch tokens."""

    def __init__(self, vit: VisionTransformer) -> None:
        super().__init__()
        self.vit = vit

    @property
    def token_dim(self) -> int:
        """Width of the output."""
        return int(self.vit.embed_dim)

    def forward(self, image: Tensor) -> Tensor:
        """Patch tokens, row by row, without the class token, after the final norm.

        Args:
            image: (B, 3, 224, 224) float32, normalized with ImageNet's mean and standard deviation.

        Returns:
            (B, T, dim) float32; T = 784 at patch size 8.
        """
        features: Tensor = self.vit.forward_features(image)
        return features[:, self.vit.num_prefix_tokens :]


def timm_image_transformer(name: str = VIT_BASE, initialized: bool = True) -> ImageTransformer:
    """A ViT of timm by name, one that is not of `PUBLISHED_VITS` with a warning.

    Args:
        name: timm's.
        initialized: whether timm's random weights are wanted; making them takes seconds.

    Raises:
        UsageError: timm has none of this name, or its tokens do not lie on the 56x56 patches.
    """
    choices = ", ".join(PUBLISHED_VITS)
    try:
        vit: Any = timm.create_model(name, pretrained=False, num_classes=0, **({} if initialized else UNINITIALIZED))
    except (RuntimeError, TypeError) as cause:
        raise UsageError(f"{name}: timm does not make this model ({cause}): choose one of {choices}") from cause
    if not isinstance(vit, VisionTransformer):
        raise UsageError(f"{name}: is a {type(vit).__name__}, not a plain ViT: choose one of {choices}")
    (height, width), (rows, columns) = vit.patch_embed.img_size, vit.patch_embed.grid_size
    if (height, width) != (IMAGE_SIZE, IMAGE_SIZE) or rows != columns or PATCH_GRID % rows:
        raise UsageError(
            f"{name}: makes {rows}x{columns} tokens of {height}x{width} pixels: choose a ViT for "
            f"{IMAGE_SIZE}x{IMAGE_SIZE} whose tokens divide {PATCH_GRID}x{PATCH_GRID} patches "
            "(patch size 4, 8, 16 or 32)"
        )
    if name not in PUBLISHED_VITS:
        warnings.warn(f"{name} is untried as an extractor: the paper has {choices}", stacklevel=2)
    return ImageTransformer(vit)
