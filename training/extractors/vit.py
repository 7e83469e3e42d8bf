"""The image extractor: a timm ViT with patch 8, whose last-layer patch tokens are the features.

CMDIAD section 3: DINO ViT-B/8 (Caron et al., ICCV 2021), the class token dropped, the final norm applied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import timm
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

IMAGE_SIZE = 224
PATCH_SIZE = 8
N_TOKENS = (IMAGE_SIZE // PATCH_SIZE) ** 2
VIT_BASE = "vit_base_patch8_224.dino"
VIT_SMALL = "vit_small_patch8_224.dino"
VIT_BASE_AUGREG = "vit_base_patch8_224.augreg_in21k"
PUBLISHED_VITS = (VIT_BASE, VIT_SMALL, VIT_BASE_AUGREG)


@dataclass(frozen=True)
class ImageTransformerConfig:
    """A ViT of our own size: patch 8, 224x224, a class token, MLP ratio 4, biases everywhere."""

    dim: int
    depth: int
    heads: int


IMAGE_EMBEDDED = ImageTransformerConfig(dim=96, depth=4, heads=3)


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
            (B, 784, dim) float32.
        """
        features: Tensor = self.vit.forward_features(image)
        return features[:, self.vit.num_prefix_tokens :]


def published_image_transformer(name: str = VIT_BASE) -> ImageTransformer:
    """A timm ViT by name, one of `PUBLISHED_VITS`, with random weights."""
    vit: Any = timm.create_model(name, pretrained=False, num_classes=0)
    return ImageTransformer(vit)


def image_transformer(config: ImageTransformerConfig) -> ImageTransformer:
    """A ViT of the given size, with random weights."""
    vit = VisionTransformer(
        img_size=IMAGE_SIZE,
        patch_size=PATCH_SIZE,
        num_classes=0,
        embed_dim=config.dim,
        depth=config.depth,
        num_heads=config.heads,
    )
    return ImageTransformer(vit)
