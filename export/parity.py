"""An exported graph must compute what its torch network does, or nothing is written."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ..runtime.engine import OnnxEngine
from ..runtime.errors import ParityError
from .graphs import GraphSpec

RELATIVE_TOLERANCE = 1e-4


def check_network(role: str, network: nn.Module, spec: GraphSpec, model: bytes) -> float:
    """Compare a graph with its torch network on the spec's inputs.

    Returns:
        The largest difference, relative to the largest value.

    Raises:
        ParityError: it is over 1e-4, or a value is not finite.
    """
    with torch.inference_mode():
        expected = network(*spec.inputs.values()).numpy()
    actual = OnnxEngine(model).run({name: value.numpy() for name, value in spec.inputs.items()})[spec.output]
    if actual.shape != expected.shape:
        raise ParityError(f"{role}: the graph answers {actual.shape}, the torch network {expected.shape}")
    difference = float(np.abs(actual - expected).max() / max(float(np.abs(expected).max()), 1e-12))
    if not difference <= RELATIVE_TOLERANCE:
        raise ParityError(
            f"{role}: the graph's {spec.output} differs from torch by {difference:.2e} of its largest value, "
            f"{RELATIVE_TOLERANCE:.0e} is allowed: nothing was written"
        )
    return difference
