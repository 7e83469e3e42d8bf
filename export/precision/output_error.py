"""How far a reduced graph's answers are from the exact ones: what kept operators and int8 layers are chosen by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...runtime.engines.session import OnnxSession

Inputs = Mapping[str, npt.NDArray[Any]]


def output_error(model: bytes, samples: Sequence[Inputs], exact: Sequence[Mapping[str, npt.NDArray[Any]]]) -> float:
    """The relative error (L2) of a graph's outputs, mean over samples; infinite where a value is not finite."""
    session = OnnxSession(model)
    errors = []
    for sample, expected in zip(samples, exact, strict=True):
        actual = session.run(sample)
        difference = np.concatenate([(actual[name] - expected[name]).ravel() for name in expected])
        reference = np.concatenate([expected[name].ravel() for name in expected])
        errors.append(float(np.linalg.norm(difference)) / max(float(np.linalg.norm(reference)), 1e-30))
    mean = float(np.mean(errors))
    return mean if np.isfinite(mean) else float("inf")
