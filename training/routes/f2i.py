"""Feature-to-input distillation (F2I): patch features of one modality hallucinate the other sensor's input.

Sui et al. 2025, section 3.3: a 3x3 convolution, bicubic upsampling from 56 to 224, three more 3x3 convolutions.
There is no activation after the first one. What comes out is an image, or a map of points, for the missing
modality's own extractor. Parameter names are those of the published checkpoints, whose unused LayerNorm `norm` is
not repeated here.
"""

from __future__ import annotations

from torch import Tensor, nn

from ...runtime.patches.pooling import PATCH_GRID, SIZE

# The paper's 384, 96 and 32 channels, at its features' width.
WIDTHS = (384, 96, 32)
PAPER_DIM = 768
INPUT_CHANNELS = 3


class FeatureToInput(nn.Module):
    """One direction of F2I; its layers are as wide as the paper's in proportion to the features.

    Example:
        >>> import torch
        >>> FeatureToInput(192)(torch.zeros(1, 3136, 192)).shape
        torch.Size([1, 3, 224, 224])
    """

    def __init__(self, dim: int) -> None:
        """The network with random weights, for a main extractor's feature dimension."""
        super().__init__()
        first, second, third = (width * dim // PAPER_DIM for width in WIDTHS)
        self.conv1 = nn.Conv2d(dim, first, 3, padding=1)
        self.conv2 = nn.Conv2d(first, second, 3, padding=1)
        self.conv3 = nn.Conv2d(second, third, 3, padding=1)
        self.conv4 = nn.Conv2d(third, INPUT_CHANNELS, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Hallucinate an input.

        Args:
            features: (B, 3136, D), every patch row by row; without points they are zero.

        Returns:
            (B, 3, 224, 224): an ImageNet-normalized image, or x, y and z in meters.
        """
        grid = features.transpose(1, 2).reshape(features.shape[0], -1, PATCH_GRID, PATCH_GRID)
        upsampled = nn.functional.interpolate(self.conv1(grid), (SIZE, SIZE), mode="bicubic", align_corners=False)
        hidden = nn.functional.relu(self.conv3(nn.functional.relu(self.conv2(upsampled))))
        hallucination: Tensor = self.conv4(hidden)
        return hallucination
