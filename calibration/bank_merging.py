"""Bring a bank up to date: rows of the old one and patches of recent good parts, as many rows as before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..runtime.banks.bank import build_bank
from ..runtime.progress import Progress
from ..runtime.verdict.decision import NormalizedBank
from .calibrate import PATCHLESS_GROUP, Side, left_out_matches, scan_numbers
from .calibration_settings import CalibrationSettings
from .coreset import select_coreset

Array = npt.NDArray[np.float32]


def merged_side(
    old: NormalizedBank,
    features: Sequence[Array],
    settings: CalibrationSettings,
    progress: Progress,
    scan_of: Sequence[int] | None = None,
) -> Side:
    """One modality's bank with recent parts, and each of these against it without its own rows.

    The coreset is selected anew from the old rows and all patches of the recent parts, in the old normalization. It
    keeps what lies farthest apart, so that old variety stays where nothing new is like it. Groups of the recent parts
    follow those of the bank, so that each can be left out, in this calibration and after the next.

    Args:
        old: the bank before; its size, metric and normalization stay.
        features: (n, d) float32 of every recent part, as the networks give them.
        settings: seed, projection, neighbors and how rows are held.
        progress: called with (stage, done, all, remark).
        scan_of: the number of every part's scan; None: each has a scan of its own.
    """
    scans = scan_numbers(features, scan_of)
    held, first_group = _rows(old), _next_group(old)
    recent = np.repeat(first_group + scans, [len(rows) for rows in features])
    pool = np.concatenate([held, *(old.normalize(rows) for rows in features)])
    groups = np.concatenate([_groups(old), recent])
    chosen = select_coreset(
        pool,
        len(held),
        seed=settings.seed,
        metric=settings.metric,
        eps=settings.projection_eps,
        progress=lambda done, total: progress("coreset", done, total, ""),
    )
    dtype = np.float16 if settings.bank_precision == "fp16" else np.float32
    bank = build_bank(pool[chosen], settings.metric, settings.n_neighbors, groups[chosen], dtype)
    merged = NormalizedBank(bank, old.feature_mean, old.feature_std)
    return Side(merged, left_out_matches(merged, features, first_group + scans, progress))


def _rows(old: NormalizedBank) -> Array:
    """The features that the bank was built of, normalized; of unit length for the cosine metric."""
    rows: Array = old.bank.rows.astype(np.float32) + old.bank.mean
    return rows


def _groups(old: NormalizedBank) -> npt.NDArray[np.int32]:
    if old.bank.row_groups is None:
        return np.full(len(old.bank.rows), PATCHLESS_GROUP, np.int32)
    return np.asarray(old.bank.row_groups, np.int32)


def _next_group(old: NormalizedBank) -> int:
    return max(PATCHLESS_GROUP, int(_groups(old).max())) + 1
