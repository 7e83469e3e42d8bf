"""Warnings about a fleet as a whole: what was requested but not done, was guessed, or looks like a slip in the file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from .product_task import ProductOutcome, Step
from .products_file import FleetProduct

_MOST_NAMES = 10
# Of a measure's own spread: single parts that are so far out are not of the same sensor, table and product.
_MOVED_SIGMAS = 6.0


def fleet_warnings(
    steps: Sequence[Step], products: Sequence[FleetProduct], outcomes: Sequence[ProductOutcome]
) -> list[str]:
    """Warnings about several products at once, one sentence each.

    Args:
        steps: the steps that were requested.
        products: the products that were chosen.
        outcomes: what became of them.
    """
    done = [outcome for outcome in outcomes if outcome.error is None]
    return [*_not_exported(steps, products, done), *_same_scans(products), *_extrapolated(done), *_moved(done)]


def _not_exported(steps: Sequence[Step], products: Sequence[FleetProduct], done: Sequence[ProductOutcome]) -> list[str]:
    if "export" not in steps:
        return []
    bundled = {product.name for product in products if product.run is None}
    names = [outcome.product for outcome in done if outcome.product in bundled]
    return [f"--export did nothing for {_listed(names)}: `bundle` is given, not a run to export"] if names else []


def _same_scans(products: Sequence[FleetProduct]) -> list[str]:
    """Products with the same normal scans: most often a line of the file was copied and not changed."""
    by_scans = defaultdict[tuple[str, ...], list[str]](list)
    for product in products:
        by_scans[tuple(sorted(product.scans) or [product.data or ""])].append(product.name)
    return [
        f"{_listed(names)} have the same normal scans, {', '.join(scans)}: if they are different parts, correct the "
        "products file"
        for scans, names in by_scans.items()
        if len(names) > 1
    ]


def _extrapolated(done: Sequence[ProductOutcome]) -> list[str]:
    known = [(outcome.product, outcome.calibrated) for outcome in done if outcome.calibrated is not None]
    few = [(name, calibrated) for name, calibrated in known if calibrated.threshold.method == "extrapolated"]
    if not few:
        return []
    needed = max(calibrated.threshold.scans_needed for _, calibrated in few)
    return [
        f"the thresholds of {_listed([name for name, _ in few])} are extrapolated from few scans, so their "
        f"false-reject rates are guesses (fleet.json has the intervals): give {needed} normal scans or "
        "more, so that rates can be counted instead"
    ]


def _moved(done: Sequence[ProductOutcome]) -> list[str]:
    far = []
    for outcome in done:
        drift = None if outcome.calibrated is None else outcome.calibrated.drift
        largest = None if drift is None else drift.largest
        if largest is not None and abs(largest.shift_sigmas or 0.0) > _MOVED_SIGMAS:
            far.append(f"{outcome.product} ({largest.measure} by {largest.shift_sigmas:+.0f} sigma)")
    if not far:
        return []
    return [
        f"since their last bundles, the normal scans of {_listed(far)} have moved: before the new bundles go to the "
        "line, check that sensor, table and product are meant to be others"
    ]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
