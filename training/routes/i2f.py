"""Input-to-feature distillation (I2F): what one sensor sees hallucinates the other modality's patch features.

Sui et al. 2025, section 3.3: the high-resolution branch of HRNet (Sun et al., CVPR 2019), which never leaves
56x56 after its stem: two convolutions of stride 2, four bottlenecks, a transition to the branch's width, the 1 + 4
+ 3 modules of four basic blocks that stages 2 to 4 have at this resolution, and a 1x1 head.
"""

from __future__ import annotations

from torch import Tensor, nn

from ...runtime.bundle.parameters import Modality

STEM_WIDTH = 64
BOTTLENECK_EXPANSION = 4
N_BOTTLENECKS = 4
N_BASIC_BLOCKS = (1 + 4 + 3) * 4
# The paper's widths of the branch by main modality, for features of 768.
WIDTHS: dict[Modality, int] = {"pc": 128, "rgb": 192}
PAPER_DIM = 768


def branch_width(main: Modality, dim_out: int) -> int:
    """The branch's width for hallucinated features of `dim_out`: the paper's, in proportion to 768.

    Example:
        >>> branch_width("pc", 768), branch_width("pc", 192)
        (128, 32)
    """
    return WIDTHS[main] * dim_out // PAPER_DIM


class InputToFeature(nn.Module):
    """One direction of I2F."""

    def __init__(self, width: int, dim_out: int) -> None:
        """The network with random weights.

        Args:
            width: the branch's, see `branch_width`.
            dim_out: the dimension of the hallucinated features.
        """
        super().__init__()
        outer = STEM_WIDTH * BOTTLENECK_EXPANSION
        self.stem = nn.Sequential(
            *_conv_norm(3, STEM_WIDTH, 3, stride=2),
            nn.ReLU(),
            *_conv_norm(STEM_WIDTH, STEM_WIDTH, 3, stride=2),
            nn.ReLU(),
        )
        widths = [STEM_WIDTH] + [outer] * (N_BOTTLENECKS - 1)
        self.layer1 = nn.Sequential(*(_Bottleneck(width_in, STEM_WIDTH) for width_in in widths))
        self.transition = nn.Sequential(*_conv_norm(outer, width, 3), nn.ReLU())
        self.branch = nn.Sequential(*(_BasicBlock(width) for _ in range(N_BASIC_BLOCKS)))
        self.head = nn.Conv2d(width, dim_out, 1)

    def forward(self, main_input: Tensor) -> Tensor:
        """Hallucinate features.

        Args:
            main_input: (B, 3, 224, 224), what the main sensor saw with the background zeroed: x, y and z in
                meters, or an ImageNet-normalized image that was black there.

        Returns:
            (B, 3136, E), every patch row by row.
        """
        features: Tensor = self.head(self.branch(self.transition(self.layer1(self.stem(main_input)))))
        return features.flatten(2).transpose(1, 2)


class _Bottleneck(nn.Module):
    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        width_out = width * BOTTLENECK_EXPANSION
        self.body = nn.Sequential(
            *_conv_norm(width_in, width, 1),
            nn.ReLU(),
            *_conv_norm(width, width, 3),
            nn.ReLU(),
            *_conv_norm(width, width_out, 1),
        )
        self.shortcut = nn.Sequential(*_conv_norm(width_in, width_out, 1)) if width_in != width_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(self.body(x) + self.shortcut(x))


class _BasicBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_conv_norm(width, width, 3), nn.ReLU(), *_conv_norm(width, width, 3))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(self.body(x) + x)


def _conv_norm(width_in: int, width_out: int, kernel: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    conv = nn.Conv2d(width_in, width_out, kernel, stride, padding=kernel // 2, bias=False)
    return conv, nn.BatchNorm2d(width_out)
