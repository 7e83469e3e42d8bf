"""Scans that a bundle has learned from already, known by their patches, whatever their files look like.

Patches of two recordings are not the same to the last digits, not even of the same part.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..runtime.banks.metrics import DISTANCES
from ..runtime.errors import UsageError
from ..runtime.sensor.file_copies import listed
from ..runtime.verdict.decision import NormalizedBank

Array = npt.NDArray[np.float32]

# Of a feature's length. Half precision moves a row by a third of it; the nearest of the demo's other parts is four
# times as far.
_ROUNDING = 1e-3
# Of the coreset ratio, which is the share of its patches that a scan has in the bank on average.
_LEAST_SHARE = 0.25


def share_on_rows(bank: NormalizedBank, features: Array, distances: Array) -> float:
    """The share of a part's patches that are rows of a bank but for rounding.

    Args:
        bank: the rows.
        features: (n, d) float32, of the part.
        distances: (n,) float32, each patch's to its nearest row.
    """
    metric = DISTANCES[bank.bank.metric]
    prepared = bank.bank.prepared(bank.normalize(features))
    reach = metric.finish(metric.compare((np.float32(_ROUNDING) * prepared)[:, None]))[:, 0]
    return float(np.mean(distances <= reach))


def refuse_known(scans: Sequence[str], shares: Sequence[float], coreset_ratio: float) -> None:
    """Refuse to update a bundle with scans that it was calibrated with: they would be compared with themselves.

    Args:
        scans: the names of the recent parts.
        shares: of each part's patches those that are rows of the bundle's bank, see `share_on_rows`.
        coreset_ratio: the share of patches that banks keep.

    Raises:
        UsageError: there are such scans; it names them.
    """
    known = [
        f"{scan} ({share:.0%} of its patches)"
        for scan, share in zip(scans, shares, strict=True)
        if share >= _LEAST_SHARE * coreset_ratio
    ]
    if known:
        raise UsageError(
            f"{len(known)} of {len(scans)} scans are in the bundle's bank already: {listed(known)}: compared "
            "with themselves they would bring the threshold near zero: give scans that were recorded since, or "
            "--replace to learn from these alone"
        )
