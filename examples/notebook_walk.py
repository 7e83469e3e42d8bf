"""From arrays of good parts to a verdict, cell by cell: for Jupyter, VS Code and Spyder, which know `# %%`.

It runs as a script too: python examples/notebook_walk.py BUNDLE DATA OUT, with an exported bundle, a class of a dataset
in MVTec 3D-AD's layout, and a folder to write into.
"""

# %% Where things are. In a notebook: write the three paths here.
from __future__ import annotations

import sys
from pathlib import Path

import cmdiad
import tifffile

exported, data, out = (Path(argument) for argument in sys.argv[1:4])

# %% Good parts, as arrays: (H, W, 3), meters, zero where nothing was measured. A sensor's own call gives them as well.
good = [tifffile.imread(path) for path in sorted((data / "train" / "good" / "xyz").glob("*.tiff"))]
print(f"{len(good)} good parts of {good[0].shape}")

# %% Calibrate: memory banks, fusion and thresholds come from the good parts alone, and so does the false-reject rate.
settings = cmdiad.CalibrationSettings(false_reject_rate=0.01, coreset_ratio=0.02)
completed = cmdiad.calibrate(good, exported, out / "part.cmdiad", settings, product="part", force=True)
print(completed.decision)
print(completed.manifest.calibration.threshold.describe())
for warning in completed.warnings:
    print("look at this:", warning)

# %% Which good parts look least like the others? One that is not good would be among them.
for part, score in completed.highest(3):
    print(part, f"{score:.3f}")

# %% Inspect one that is not good.
inspector = cmdiad.Inspector.load(out / "part.cmdiad")
scan = next(path for path in sorted((data / "test").glob("*/xyz/*.tiff")) if path.parent.parent.name != "good")
inspection = inspector.inspect(tifffile.imread(scan), part_id=f"{scan.parent.parent.name}_{scan.stem}")
inspection  # noqa: B018 - a notebook shows the verdict, the heat map and the regions

# %% The same as a page, for those who are not here.
(out / "inspection.html").write_text(f"<!doctype html><meta charset='utf-8'>{inspection._repr_html_()}")

# %% The worst place, in the sensor's coordinates: what a robot is sent to.
points, scores = inspection.points3d()
print("worst at", (1e3 * points[scores.argmax()]).round(1), "mm, with", scores.max().round(3))

# %% Keep the picture, the map, the verdict and a cloud for CloudCompare or MeshLab.
print(inspection.save(out / "results", cloud=True))
inspector.close()
