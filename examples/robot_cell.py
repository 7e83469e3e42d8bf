"""A robot cell with two products: the robot says which part it holds, and the bundle of that product inspects it.

    python examples/robot_cell.py --product lid=lid.cmdiad --product gland=gland.cmdiad --jobs jobs.csv --out rejected

`jobs.csv` plays the robot: a line a part, `part_id,product,scan`. Both bundles are opened once, at the start: changing
the product costs nothing then. What cannot be inspected goes where defective parts go: a part without a verdict is not
good.
"""

from __future__ import annotations

import argparse
import csv
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import numpy as np
import tifffile
from cmdiad import CmdiadError, Inspector

Place = Literal["good", "rejected", "to look at"]


def sorted_part(
    inspectors: dict[str, Inspector], product: str, points: np.ndarray, part_id: str, rejected: Path
) -> Place:
    """Where the robot puts a part; of a rejected one the files say why."""
    inspector = inspectors.get(product)
    if inspector is None:
        print(f"{part_id}: there is no bundle for {product!r}")
        return "to look at"
    try:
        inspection = inspector.inspect(points, part_id=part_id)
    except CmdiadError as error:
        print(error)  # it begins with the part's ID
        return "to look at"
    if not inspection.is_defect:
        return "good"
    files = inspection.save(rejected)
    for region in inspection.regions[:1]:
        where = "" if region.center_m is None else " at " + ", ".join(f"{1e3 * value:.1f}" for value in region.center_m)
        print(f"{part_id}: {region.pixels} pixels{where} mm, see {files.heatmap}")
    return "rejected"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--product", action="append", required=True, metavar="NAME=BUNDLE")
    parser.add_argument("--jobs", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("rejected"))
    options = parser.parse_args()
    bundles = dict(entry.split("=", 1) for entry in options.product)
    counts: dict[Place, int] = {"good": 0, "rejected": 0, "to look at": 0}
    with ExitStack() as opened, options.jobs.open(newline="") as jobs:
        inspectors = {name: opened.enter_context(Inspector.load(bundle)) for name, bundle in bundles.items()}
        for job in csv.DictReader(jobs):
            points = tifffile.imread(job["scan"])  # in a cell: the sensor's own call
            place = sorted_part(inspectors, job["product"], points, job["part_id"], options.out)
            counts[place] += 1
            print(f"{job['part_id']} ({job['product']}): {place}")
    print(", ".join(f"{count} {place}" for place, count in counts.items()))


if __name__ == "__main__":
    main()
