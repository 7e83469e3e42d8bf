"""What int8 networks cost in detection: image AUROC lost against fp32, both calibrated and evaluated by themselves.

    python benchmarks/gates/int8_detection.py [--quick] [DATA ...]

DATA is a dataset root in the MVTec 3D-AD layout; synthetic parts are always measured too. F2F is trained briefly with
the embedded pair of extractors, exported once, and quantized for the CPU provider
(`export/precision/dynamic_int8.py`). Prints one JSON object a dataset, then the machine.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from cmdiad.benchmarks.shared.measuring import machine
from cmdiad.benchmarks.shared.workbench import write_int8
from cmdiad.calibration.calibration_settings import CalibrationSettings
from cmdiad.calibration.evaluation.contenders import Candidate
from cmdiad.calibration.evaluation.evaluate import evaluate_dataset
from cmdiad.export.bundles import export_bundle
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.training.synth.synthesis import PART_CLASSES, write_dataset
from cmdiad.training.train import TrainingSettings, train_route

BAR = 0.005
EPOCHS = 10
# Scans of every class: for training, normal ones to test, and of every defect. One exchanged pair is 0.0002.
FULL = (30, 60, 18)
QUICK = (8, 4, 2)


def main(datasets: list[Path], quick: bool) -> None:
    """Measure every dataset and print."""
    with tempfile.TemporaryDirectory() as scratch:
        parts = Path(scratch) / "synthetic"
        write_synthetic(parts, QUICK if quick else FULL)
        for number, data in enumerate([parts, *datasets]):
            compare(data, Path(scratch) / f"work_{number}")
    print(json.dumps(machine()))


def write_synthetic(folder: Path, counts: tuple[int, int, int]) -> None:
    """Rendered parts of every class."""
    train, test_good, per_defect = counts
    write_dataset(
        folder,
        classes=list(PART_CLASSES),
        train=train,
        validation=0,
        test_good=test_good,
        per_defect=per_defect,
        seed=0,
    )


def compare(data: Path, work: Path) -> None:
    """Train, export, quantize and evaluate one dataset."""
    settings = TrainingSettings(epochs=EPOCHS, batch_size=8, select=False)
    run = train_route(data, [], settings, work / "run", lambda *_: None)
    export_bundle(run, "f2f", "pc", work / "fp32")
    write_int8(open_bundle(work / "fp32"), work / "int8")
    candidates = [Candidate(name, open_bundle(work / name), CalibrationSettings()) for name in ("fp32", "int8")]
    evaluation = evaluate_dataset(data, [], candidates, "cpu", lambda *_: None)
    mean = {name: evaluation.mean(name).i_auroc for name in ("fp32", "int8")}
    if mean["int8"] is None or mean["fp32"] is None:
        raise SystemExit(f"{data}: has no good or no defective test parts")
    # A gain is not a cost; one of the 352 pairs of tabletop_objects that changes places is 0.0028.
    lost = max(0.0, mean["fp32"] - mean["int8"])
    line = {"measure": f"int8_i_auroc_{data.name}", "int8": round(mean["int8"], 4), "fp32": round(mean["fp32"], 4)}
    print(json.dumps({**line, "error": round(lost, 5), "baseline": "fp32", "bar": BAR, "met": lost <= BAR}))


if __name__ == "__main__":
    folders = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("--")]
    main(folders, "--quick" in sys.argv)
