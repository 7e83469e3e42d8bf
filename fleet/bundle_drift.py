"""How far a product has moved since its last bundle."""

from __future__ import annotations

from pathlib import Path

from ..calibration.update_comparison import compared
from ..runtime.bundle.reading import Bundle, open_bundle, require_calibration
from ..runtime.errors import BundleError, CmdiadError
from .product_task import BundleDrift


def drift_since(before: Path, after: Path) -> BundleDrift | None:
    """Compare a product's new bundle with its last one: thresholds, measures of the normal scans, golden scans.

    Args:
        before: the last one; it need not be there.
        after: the new one.

    Returns:
        None where there is no last one that can be read.

    Raises:
        BundleError: the new one cannot be read.
    """
    try:
        old_bundle = open_bundle(before)
        old = require_calibration(old_bundle)
    except BundleError:
        return None
    new_bundle = open_bundle(after)
    new = require_calibration(new_bundle)
    was, is_now = old.threshold.value, new.threshold.value
    measures, warnings, reason = [], [], _not_comparable(old_bundle, new_bundle)
    if not reason:
        try:
            told = compared(old_bundle, new_bundle, old, new, ())
            measures, warnings = list(told.health), list(told.warnings)
        except CmdiadError as error:
            reason = str(error)
    return BundleDrift(
        digest_before=old_bundle.manifest.digest,
        threshold_before=old.threshold,
        pixel_threshold_before=old.pixel_threshold,
        threshold_change=is_now / was - 1 if was else None,
        measures=measures,
        warnings=warnings,
        not_compared=reason,
    )


def _not_comparable(old: Bundle, new: Bundle) -> str:
    before, after = old.manifest, new.manifest
    if (before.route, before.main) != (after.route, after.main):
        return f"the last bundle is of {before.route} on {before.main}, this one of {after.route} on {after.main}"
    return ""
