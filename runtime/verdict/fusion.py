"""Decision-layer fusion: one linear combination for the two image scores, one for the two distance maps.

The weights are those of two one-class SVMs on the pair (alpha s_main, beta s_second) (Sui et al. 2025,
decision-layer fusion). Their offsets are kept for the record and not subtracted: a constant changes no
ranking, and the threshold is learned afterwards.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt

from ..errors import BundleError
from ..files.json_encoding import decode_json

Array = npt.NDArray[np.float32]


class Combination(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """coefficients[0] alpha main + coefficients[1] beta second; larger is more anomalous.

    Attributes:
        coefficients: the one-class SVM's, both positive.
        offset: its boundary in the same units.
        alpha: balances the main modality: one over its mean on normal scans.
        beta: the same of the second modality.
    """

    coefficients: tuple[float, float]
    offset: float
    alpha: float
    beta: float

    def __post_init__(self) -> None:
        if not all(0 < value < math.inf for value in (*self.coefficients, self.alpha, self.beta)):
            raise ValueError("coefficients, alpha and beta must be positive and finite")
        if not math.isfinite(self.offset):
            raise ValueError("offset must be finite")

    @property
    def weights(self) -> tuple[float, float]:
        """What the raw distances of the two modalities are multiplied with."""
        return self.coefficients[0] * self.alpha, self.coefficients[1] * self.beta


class Fusion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of fusion.json; a route with a single bank has none."""

    score: Combination
    map: Combination

    def fuse_scores(self, main: float, second: float) -> float:
        """The part's score from the image scores of the two banks."""
        weight_main, weight_second = self.score.weights
        return weight_main * main + weight_second * second

    def fuse_maps(self, main: Array, second: Array) -> Array:
        """The patches' distances from those to the two banks, float32 of one shape; zero where both are."""
        weight_main, weight_second = self.map.weights
        fused: Array = np.float32(weight_main) * main + np.float32(weight_second) * second
        return fused


def encode_fusion(fusion: Fusion) -> bytes:
    """The bytes of fusion.json; equal fusions give equal bytes."""
    return msgspec.json.format(msgspec.json.encode(fusion, order="sorted"), indent=2) + b"\n"


def decode_fusion(raw: bytes, where: str) -> Fusion:
    """Read fusion.json.

    Raises:
        BundleError: it is not a fusion, or a number in it is not finite or of the wrong sign.
    """
    try:
        return decode_json(raw, Fusion)
    except msgspec.MsgspecError as cause:
        raise BundleError(f"{where}: is not a valid fusion ({cause}): calibrate the bundle again") from cause
