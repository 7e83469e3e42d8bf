"""Many scans at once, and a table of pandas: a line a part, errors included.

    python examples/batch_table.py --bundle lid.cmdiad --out parts.csv scans/ 'more/*.ply'

Reading and networks of different parts overlap; on the CPU as many parts are inspected at a time as there are threads.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from cmdiad import Inspector, Outcome, find_scans, inspect_stream


def table_of(outcomes: Iterable[Outcome]) -> pd.DataFrame:
    """A line a part, by scan: the verdict with its score, the largest region and the time; or the error."""
    return pd.DataFrame([_line(outcome) for outcome in outcomes]).set_index("scan")


def _line(outcome: Outcome) -> dict[str, object]:
    inspection = outcome.inspection
    if inspection is None:
        return {"scan": outcome.name, "verdict": "error", "error": str(outcome.error)}
    largest = max((region.area_m2 or 0.0 for region in inspection.regions), default=0.0)
    return {
        "scan": outcome.name,
        "verdict": "defect" if inspection.is_defect else "good",
        "score": inspection.score,
        "of_threshold": inspection.score / inspection.threshold,
        "regions": inspection.regions_found,
        "largest_mm2": 1e6 * largest,
        "diameter_mm": None if inspection.view.diameter_m is None else 1e3 * inspection.view.diameter_m,
        "ms": 1e3 * sum(inspection.seconds.values()),
        "error": None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scans", nargs="+", help="files, folders or globs")
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--out", type=Path, default=Path("parts.csv"))
    options = parser.parse_args()
    with Inspector.load(options.bundle, side_by_side=True) as inspector:
        table = table_of(inspect_stream(inspector, find_scans(options.scans)))
    table.to_csv(options.out)
    print(table["verdict"].value_counts().to_string())
    print(table.sort_values("score", ascending=False)[["verdict", "score", "of_threshold"]].head(5).to_string())
    print(f"written: {options.out}")


if __name__ == "__main__":
    main()
