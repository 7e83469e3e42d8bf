"""Point-MAE's encoder and transformer, with Point-BERT's as an option; groups of points become tokens.

Pang et al., Masked Autoencoders for Point Cloud Self-supervised Learning (ECCV 2022), and Yu et al.,
Point-BERT (CVPR 2022), as CMDIAD (Information Fusion 2025, section 3) uses them. Submodule names follow the
published checkpoints, so their keys are ours behind a prefix. Every layer is a matrix product over the last
axis, a maximum or a normalization: the graph exports with a dynamic batch and without loops.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ...runtime.bundle.parameters import Grouping

MLP_RATIO = 4
POSITION_WIDTH = 128
MILLIMETRES_PER_METRE = 1000.0
# Turn-invariant centers: a group's reach is about one unit, a whole part about this many.
PART_REACH = 16.0
# Thinned groups: points are kept ever more sparsely with their rank by distance.
THINNING_POWER = 1.5


@dataclass(frozen=True)
class PointTransformerConfig:
    """The architecture, and the grouping that belongs to it.

    Attributes:
        grouping: G groups of M points.
        dim: token width.
        depth, heads: of the transformer.
        encoder_widths: output widths of the group encoder's first three convolutions.
        encoder_dim: width of a group's embedding; unless it equals `dim`, a linear layer follows.
        token_blocks: the two blocks whose outputs are concatenated.
        class_token: whether a learned token is prepended, and dropped again after the blocks.
        thinned_to: how many points of a group are looked at, dense near the center and sparse far out; None
            looks at all of them.
        turn_invariant: whether the networks see `turn_invariant_coordinates` instead of meters.
    """

    grouping: Grouping
    dim: int
    depth: int
    heads: int
    encoder_widths: tuple[int, int, int]
    encoder_dim: int
    token_blocks: tuple[int, int]
    class_token: bool = False
    thinned_to: int | None = None
    turn_invariant: bool = False

    @property
    def token_dim(self) -> int:
        """Width of the output: two blocks' tokens, concatenated."""
        return 2 * self.dim


POINT_MAE_FULL = PointTransformerConfig(
    grouping=Grouping(n_groups=1024, group_size=128),
    dim=384,
    depth=12,
    heads=6,
    encoder_widths=(128, 256, 512),
    encoder_dim=384,
    token_blocks=(3, 11),
)
POINT_BERT_FULL = PointTransformerConfig(
    grouping=Grouping(n_groups=1024, group_size=128),
    dim=384,
    depth=12,
    heads=6,
    encoder_widths=(128, 256, 512),
    encoder_dim=256,
    token_blocks=(3, 11),
    class_token=True,
)
POINT_EMBEDDED = PointTransformerConfig(
    grouping=Grouping(n_groups=512, group_size=192),
    dim=96,
    depth=8,
    heads=3,
    encoder_widths=(32, 64, 128),
    encoder_dim=96,
    token_blocks=(3, 7),
    thinned_to=64,
    turn_invariant=True,
)


def _pointwise(conv: nn.Module, x: Tensor) -> Tensor:
    """A convolution with kernel 1, over the last axis instead of the second."""
    assert isinstance(conv, nn.Conv1d)
    return functional.linear(x, conv.weight.squeeze(-1), conv.bias)


def _normalize(batch_norm: nn.Module, x: Tensor) -> Tensor:
    """Batch normalization over the last axis; nothing once it is folded."""
    if isinstance(batch_norm, nn.Identity):
        return x
    out: Tensor = batch_norm(x.flatten(0, -2))
    return out.view_as(x)


class GroupEncoder(nn.Module):
    """Each group of points becomes one embedding (Point-MAE's mini-PointNet).

    The second stage's input [global, local] is never concatenated: its product is that of `global`, once a
    group, plus that of `local`.
    """

    def __init__(self, widths: tuple[int, int, int], out_dim: int) -> None:
        super().__init__()
        first, local, hidden = widths
        self.first_conv = nn.Sequential(
            nn.Conv1d(3, first, 1), nn.BatchNorm1d(first), nn.ReLU(), nn.Conv1d(first, local, 1)
        )
        self.second_conv = nn.Sequential(
            nn.Conv1d(2 * local, hidden, 1), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Conv1d(hidden, out_dim, 1)
        )

    def forward(self, groups: Tensor) -> Tensor:
        """(B, G, M, 3) float32 coordinates relative to the center -> (B, G, out_dim)."""
        conv, batch_norm, _, last = self.first_conv
        local = _pointwise(last, functional.relu(_normalize(batch_norm, _pointwise(conv, groups))))
        conv, batch_norm, _, last = self.second_conv
        assert isinstance(conv, nn.Conv1d)
        width = local.shape[-1]
        weight = conv.weight.squeeze(-1)
        from_global = functional.linear(local.amax(dim=2, keepdim=True), weight[:, :width], conv.bias)
        hidden = functional.linear(local, weight[:, width:]) + from_global
        return _pointwise(last, functional.relu(_normalize(batch_norm, hidden))).amax(dim=2)


class Attention(nn.Module):
    """Multi-head self-attention without a query, key and value bias."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, G, dim) -> (B, G, dim)."""
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return out


class Mlp(nn.Module):
    """Two linear layers with a GELU between."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, MLP_RATIO * dim)
        self.fc2 = nn.Linear(MLP_RATIO * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) -> (..., dim)."""
        out: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return out


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, G, dim) -> (B, G, dim)."""
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class TransformerEncoder(nn.Module):
    """The stack of blocks; the position is added before every one of them."""

    def __init__(self, config: PointTransformerConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(config.dim, config.heads) for _ in range(config.depth)])

    def forward(self, x: Tensor, position: Tensor) -> list[Tensor]:
        """Tokens and positions, (B, G, dim) each -> every block's output."""
        outputs = []
        for block in self.blocks:
            x = block(x + position)
            outputs.append(x)
        return outputs


class PointTransformer(nn.Module):
    """Groups of points -> tokens (module docstring)."""

    def __init__(self, config: PointTransformerConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.encoder = GroupEncoder(config.encoder_widths, config.encoder_dim)
        if config.encoder_dim != dim:
            self.reduce_dim = nn.Linear(config.encoder_dim, dim)
        self.pos_embed = nn.Sequential(nn.Linear(3, POSITION_WIDTH), nn.GELU(), nn.Linear(POSITION_WIDTH, dim))
        if config.class_token:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
            self.cls_pos = nn.Parameter(torch.zeros(1, 1, dim))
        self.kept_ranks: Tensor
        if config.thinned_to is not None:
            ranks = thinned_ranks(config.grouping.group_size, config.thinned_to)
            self.register_buffer("kept_ranks", ranks, persistent=False)
        self.blocks = TransformerEncoder(config)
        self.norm = nn.LayerNorm(dim)

    def forward(self, groups: Tensor, centers: Tensor) -> Tensor:
        """Tokens of every group.

        Args:
            groups: (B, G, M, 3) float32, meters, relative to their center, nearest first.
            centers: (B, G, 3) float32, meters.

        Returns:
            (B, G, 2 * dim) float32: both token blocks' outputs through the final norm, concatenated.
        """
        if self.config.thinned_to is not None:
            groups = groups[:, :, self.kept_ranks]
        if self.config.turn_invariant:
            groups, centers = turn_invariant_coordinates(groups, centers)
        x, position = self.encoder(groups), self.pos_embed(centers)
        if self.config.encoder_dim != self.config.dim:
            x = self.reduce_dim(x)
        if self.config.class_token:
            batch = x.shape[0]
            x = torch.cat([self.cls_token.expand(batch, -1, -1), x], dim=1)
            position = torch.cat([self.cls_pos.expand(batch, -1, -1), position], dim=1)
        outputs = self.blocks(x, position)
        tokens = torch.cat([self.norm(outputs[index]) for index in self.config.token_blocks], dim=-1)
        return tokens[:, 1:] if self.config.class_token else tokens


def thinned_ranks(group_size: int, kept: int) -> Tensor:
    """Ranks by distance of the points that stay: (kept,) int64, 0 and `group_size` - 1 among them.

    Raises:
        ValueError: the group is too small to be thinned to so many.
    """
    ranks = torch.linspace(0, 1, kept, dtype=torch.float64).pow(THINNING_POWER).mul(group_size - 1)
    # Near the center the spacing is less than one rank: there every rank is taken.
    thinned = torch.maximum(ranks.round().long(), torch.arange(kept))
    if kept > group_size:
        raise ValueError(f"a group of {group_size} points cannot be thinned to {kept}")
    return thinned


def turn_invariant_coordinates(groups: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates that stay when a part is moved or turned about the viewing axis, or seen at another pixel pitch.

    A point becomes (distance from its center across the view, depth, depth beyond the group's fitted plane), a
    center (distance from the axis through the mean center, depth, distance from the mean center). Lengths are in
    units of the scan's own group radius, the root mean square distance from the center.

    Args:
        groups: (B, G, M, 3) float32, meters, relative to their center.
        centers: (B, G, 3) float32, meters.

    Returns:
        Both without unit, in the same shapes; centers in units of `PART_REACH` group radii.
    """
    # Millimeters first: squares of meters leave the range of half precision.
    groups = groups * MILLIMETRES_PER_METRE
    centers = (centers - centers.mean(dim=1, keepdim=True)) * MILLIMETRES_PER_METRE
    squared = groups.square().sum(dim=-1, keepdim=True).mean(dim=(1, 2), keepdim=True)
    scale = torch.rsqrt(squared + 1e-6)
    x, y, depth = (groups * scale).unbind(-1)
    points = torch.stack([_length(x, y), depth, depth - _fitted_plane(x, y, depth)], dim=-1)
    x, y, depth = (centers * (scale.squeeze(1) / PART_REACH)).unbind(-1)
    across = _length(x, y)
    return points, torch.stack([across, depth, _length(across, depth)], dim=-1)


def _length(a: Tensor, b: Tensor) -> Tensor:
    """Of a vector with these components; differentiable at zero."""
    return torch.sqrt(a * a + b * b + 1e-6)


def _fitted_plane(x: Tensor, y: Tensor, depth: Tensor) -> Tensor:
    """Depths, where the points are, of the plane through the center that fits a group best: least squares."""

    def mean(product: Tensor) -> Tensor:
        return product.mean(dim=-1, keepdim=True)

    xx, yy, xy = mean(x * x) + 1e-3, mean(y * y) + 1e-3, mean(x * y)
    xz, yz = mean(x * depth), mean(y * depth)
    determinant = (xx * yy - xy * xy).clamp_min(1e-4)
    return ((xz * yy - yz * xy) * x + (yz * xx - xz * xy) * y) / determinant


def fold_batch_norm(model: PointTransformer) -> PointTransformer:
    """A copy for export, in eval mode, with every batch normalization folded into its convolution."""
    folded = copy.deepcopy(model).eval()
    for stage in (folded.encoder.first_conv, folded.encoder.second_conv):
        conv, batch_norm = stage[0], stage[1]
        assert isinstance(conv, nn.Conv1d)
        assert isinstance(batch_norm, nn.BatchNorm1d)
        stage[0] = fuse_conv_bn_eval(conv, batch_norm)
        stage[1] = nn.Identity()
    return folded
