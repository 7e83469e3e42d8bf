"""Feature-to-feature distillation (F2F): patch features of one modality hallucinate the other's, per patch.

Sui et al. 2025, section 3.3: LayerNorm, then three linear layers D - 2.5 D - 2.5 D - E with a GELU after each of
them, the last included. Parameter names are those of the published checkpoints.
"""

from __future__ import annotations

from torch import Tensor, nn

from ...runtime.bundle.parameters import Modality

HIDDEN_RATIO = 2.5


class _Mlp(nn.Module):
    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        hidden = int(HIDDEN_RATIO * dim_in)
        self.fc1 = nn.Linear(dim_in, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.fc3 = nn.Linear(hidden, dim_out)

    def forward(self, features: Tensor) -> Tensor:
        gelu = nn.functional.gelu
        output: Tensor = gelu(self.fc3(gelu(self.fc2(gelu(self.fc1(features))))))
        return output


class _MlpStack(nn.Module):
    """Only here so that parameters are called as in the published checkpoints (`mlp_module.0.fc1`)."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.mlp_module = nn.ModuleList([_Mlp(dim_in, dim_out)])

    def forward(self, features: Tensor) -> Tensor:
        output: Tensor = self.mlp_module[0](features)
        return output


class FeatureToFeature(nn.Module):
    """Both directions, which are trained together and share nothing.

    Example:
        >>> import torch
        >>> FeatureToFeature(192, 96).hallucinate_rgb(torch.zeros(1, 5, 192)).shape
        torch.Size([1, 5, 96])
    """

    def __init__(self, dim_pc: int, dim_rgb: int) -> None:
        """The network with random weights, for the two extractors' feature dimensions."""
        super().__init__()
        self.xyz_norm = nn.LayerNorm(dim_pc)
        self.xyz_mlp = _MlpStack(dim_pc, dim_rgb)
        self.rgb_norm = nn.LayerNorm(dim_rgb)
        self.rgb_mlp = _MlpStack(dim_rgb, dim_pc)

    def hallucinate_rgb(self, pc: Tensor) -> Tensor:
        """(..., D_pc) -> (..., D_rgb)."""
        hallucination: Tensor = self.xyz_mlp(self.xyz_norm(pc))
        return hallucination

    def hallucinate_pc(self, rgb: Tensor) -> Tensor:
        """(..., D_rgb) -> (..., D_pc)."""
        hallucination: Tensor = self.rgb_mlp(self.rgb_norm(rgb))
        return hallucination


class Hallucinator(nn.Module):
    """One direction of F2F on its own, as it is exported: features (B, P, D) -> hallucination (B, P, E)."""

    def __init__(self, network: FeatureToFeature, main: Modality) -> None:
        super().__init__()
        self.norm = network.xyz_norm if main == "pc" else network.rgb_norm
        self.mlp = network.xyz_mlp if main == "pc" else network.rgb_mlp

    def forward(self, features: Tensor) -> Tensor:
        """(B, P, D) float32 features of the main modality -> (B, P, E) float32 of the missing one."""
        hallucination: Tensor = self.mlp(self.norm(features))
        return hallucination
