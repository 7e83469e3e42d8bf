"""Smaller memory banks, without calibrating again.

The coreset is selected greedily and kept in the order of selection, so the first rows of a bank are the coreset of
that many rows: the bank that `cmdiad calibrate --coreset-ratio` with a smaller ratio and the same seed would have made.
Fusion and thresholds stay those of the whole bank.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from ...banks.bank import MemoryBank, build_bank
from ...bundle.manifest import Bank
from ...bundle.reading import Bundle, require_calibration
from ...bundle.writing import Content, rewrite_bundle
from ...errors import UsageError
from ...verdict.decision import load_bank


def write_reduced(bundle: Bundle, ratio: float, target: Path) -> None:
    """Write a bundle whose banks hold `ratio` of the patches of the normal scans.

    Raises:
        UsageError: the bundle's banks hold fewer.
    """
    calibration = require_calibration(bundle)
    if not ratio > 0:
        raise UsageError(f"a coreset ratio must be above 0, and {ratio} is not")
    if ratio > calibration.coreset_ratio:
        raise UsageError(
            f"the bundle's banks hold {calibration.coreset_ratio:g} of the patches: "
            f"calibrate with --coreset-ratio {ratio:g} or more"
        )
    banks: dict[str, Bank] = {}
    contents: dict[str, Content] = {}
    for role, entry in bundle.manifest.banks.items():
        whole = load_bank(bundle, role).bank
        reduced = first_rows(whole, max(1, round(whole.rows.shape[0] * ratio / calibration.coreset_ratio)))
        arrays = reduced.arrays()
        # A small bank has no screen.
        files = {name: file for name, file in entry.files.items() if name in arrays}
        contents.update({file: arrays[name] for name, file in files.items()})
        banks[role] = msgspec.structs.replace(entry, n_rows=len(reduced.rows), files=files)
    manifest = msgspec.structs.replace(
        bundle.manifest, banks=banks, calibration=msgspec.structs.replace(calibration, coreset_ratio=ratio)
    )
    rewrite_bundle(bundle, target, manifest, contents, dropped=bundle.manifest.bank_files())


def first_rows(bank: MemoryBank, count: int) -> MemoryBank:
    """The bank of the first `count` rows, with its own mean and neighbors."""
    rows = bank.rows[:count] + bank.mean
    groups = None if bank.row_groups is None else bank.row_groups[:count]
    dtype = bank.rows.dtype.type
    return build_bank(rows, bank.metric, bank.neighbors.shape[1], groups, dtype)
