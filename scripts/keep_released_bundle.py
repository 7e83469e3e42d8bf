"""Keep a tiny bundle of this version in tests/released/, which every later version must read with the same verdict.

    python scripts/keep_released_bundle.py [--name 0.1.0] [--checkout FOLDER] [--without-region]

Two networks of a few hundred parameters are calibrated on rendered domes, and a dome with a burr is inspected, by the
commands of the checkout: `plain.cmdiad`, and `region.cmdiad` with a region of interest. Beside them lie the scan, and
what that version answered: `NAME.json` and `NAME_map.tiff`. What is kept is never replaced. --checkout is for another
version than this one, --without-region for one that knows no regions.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from cmdiad.scripts.release import KEPT, PLAIN, REGION, ROOT, version_of
from onnx import ModelProto, TensorProto, helper, numpy_helper

# The least that every version calibrates from: `cmdiad calibrate` of format version 1 reads it as well as today's.
EXPORTED_FORMAT = 1
SIZE, PITCH_M, DISTANCE_M = 64, 1.5e-3, 0.5
N_NORMAL = 12
BURRED_SEED = 1000
GROUPS, GROUP_SIZE, POINT_DIM, IMAGE_DIM = 64, 16, 4, 3
# Row, column, height, width: all of the dome, and not the pin.
REGION_OF_INTEREST = "5,5,50,50"
SETTINGS = ("--coreset-ratio", "0.01", "--false-reject-rate", "0.1", "--no-line-graph", "--product", "dome")
OPSET, IR_VERSION = 20, 10

Points = npt.NDArray[np.float32]


def main() -> None:
    """Make it, keep it, and say how much it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", help="of the folder; default: the version")
    parser.add_argument("--checkout", type=Path, default=ROOT, help="whose version is kept; default: this one")
    parser.add_argument("--without-region", action="store_true")
    options = parser.parse_args()
    version = version_of((options.checkout / "version.py").read_text(encoding="utf-8"))
    target = KEPT / (options.name or version)
    if target.exists():
        sys.exit(f"{target}: is kept already, and a kept bundle is never replaced")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made"
        keep(options.checkout.resolve(), version, Path(folder), made, with_region=not options.without_region)
        shutil.copytree(made, target)
    print(f"{target}: {sum(file.stat().st_size for file in target.iterdir())} bytes; commit it")


def keep(checkout: Path, version: str, work: Path, made: Path, with_region: bool) -> None:
    """What is kept of a version, written to a folder `made`."""
    made.mkdir()
    write_exported(work / "exported")
    write_scans(work / "scans")
    tifffile.imwrite(made / "scan.tiff", dome(BURRED_SEED, with_burr=True), photometric="rgb", compression="zlib")
    (work / "at").mkdir()
    (work / "at" / "cmdiad").symlink_to(checkout, target_is_directory=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True, check=True)
    for name, options in ((PLAIN, []), (REGION, ["--roi", REGION_OF_INTEREST])):
        if name == REGION and not with_region:
            continue
        keep_one(version, commit.stdout.strip(), work, made, name, options)


def keep_one(version: str, commit: str, work: Path, made: Path, name: str, options: list[str]) -> None:
    """A bundle, calibrated with options, and what its version answers."""
    bundle, out = made / f"{name}.cmdiad", work / f"{name}_maps"
    calibrate = ("calibrate", f"{work / 'scans'}/*.tiff", "--bundle", work / "exported", "--out", bundle)
    run(work, "workstation", *calibrate, *SETTINGS, *options)
    (made / f"{name}_parts.png").unlink(missing_ok=True)
    infer = ("infer", made / "scan.tiff", "--bundle", bundle, "--out", out, "--json")
    answer = json.loads(run(work, "line", *infer))
    shutil.copyfile(answer["map"], made / f"{name}_map.tiff")
    told = {key: value for key, value in answer.items() if key not in ("scan", "map", "heatmap", "ms")}
    record = {"version": version, "commit": commit, "answer": told}
    (made / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def run(work: Path, program: str, *arguments: str | Path) -> str:
    """What a command of the checkout prints."""
    code = f"from cmdiad.cli.{program} import main; main()"
    command = [sys.executable, "-c", code, *(str(argument) for argument in arguments)]
    environment = {**os.environ, "PYTHONPATH": str(work / "at")}
    answer = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False, env=environment)
    if answer.returncode != 0:
        sys.exit(f"{' '.join(command[3:])}: ended with {answer.returncode}\n{answer.stdout}{answer.stderr}")
    return answer.stdout


def write_scans(folder: Path) -> None:
    """Normal scans, raw, in meters."""
    folder.mkdir()
    for seed in range(N_NORMAL):
        tifffile.imwrite(folder / f"{seed:03d}.tiff", dome(seed), photometric="rgb")


def dome(seed: int, with_burr: bool = False) -> Points:
    """A raw scan (SIZE, SIZE, 3) float32, meters: a dome on a plane, of its own size and place, beside it a pin."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    x, y = columns * PITCH_M, rows * PITCH_M
    radius, height = rng.uniform(0.0295, 0.0305), rng.uniform(0.0145, 0.0155)
    away = np.hypot(x - rng.uniform(-2e-3, 2e-3), y - rng.uniform(-2e-3, 2e-3)) / radius
    raised = height * np.clip(1.0 - away**2, 0.0, None)
    if with_burr:
        raised += 0.015 * np.exp(-((x - 0.006) ** 2 + (y + 0.005) ** 2) / (2 * 0.003**2))
    raised[np.hypot(x - 0.04, y - 0.04) < 0.005] = 0.012
    z = DISTANCE_M - raised + rng.normal(scale=5e-5, size=raised.shape)
    # In steps of ten micrometers: few bytes.
    return np.stack([x, y, np.round(z, 5)], axis=2).astype(np.float32)


def write_exported(folder: Path) -> None:
    """An exported bundle of route F2F, with the keys that all format versions need; its networks are tiny."""
    folder.mkdir()
    networks = {"extractor": extractor(), "hallucinator": hallucinator()}
    files = {f"{role}.onnx": model.SerializeToString() for role, model in networks.items()}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    manifest = {
        "digest": "0" * 64,
        "format_version": EXPORTED_FORMAT,
        "product": "dome",
        "route": "f2f",
        "main": "pc",
        "precision": "fp32",
        "preprocessing": {},
        "grouping": {"n_groups": GROUPS, "group_size": GROUP_SIZE},
        "networks": {role: described(f"{role}.onnx", model) for role, model in networks.items()},
        "provenance": {"made_by": "scripts/keep_released_bundle.py"},
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    blank = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    digest = hashlib.sha256(blank.encode()).hexdigest()
    (folder / "manifest.json").write_text(blank.replace("0" * 64, digest, 1), encoding="utf-8")


def described(file: str, model: ModelProto) -> dict[str, Any]:
    """A network as manifests describe it."""

    def tensors(values: Any) -> list[dict[str, Any]]:
        return [
            {
                "name": value.name,
                "shape": [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim],
                "dtype": "float32",
            }
            for value in values
        ]

    count = sum(int(np.prod(weights.dims)) for weights in model.graph.initializer)
    graph = {"inputs": tensors(model.graph.input), "outputs": tensors(model.graph.output)}
    return {"file": file, "architecture": "tiny", "parameters": count, **graph}


def extractor() -> ModelProto:
    """How far each group's points lie from its center in a few directions, in the mean: `tokens` (B, G, POINT_DIM)."""
    rng = np.random.default_rng(0)
    weights = rng.normal(scale=200.0, size=(3, POINT_DIM)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["groups", "weights"], ["along"]),
        helper.make_node("Abs", ["along"], ["away"]),
        helper.make_node("ReduceMean", ["away", "points"], ["means"], keepdims=0),
        # Where a group lies tells nothing; the input has to be there.
        helper.make_node("MatMul", ["centers", "nothing"], ["nowhere"]),
        helper.make_node("Add", ["means", "nowhere"], ["tokens"]),
    ]
    constants: dict[str, npt.NDArray[Any]] = {
        "weights": weights,
        "points": np.array([2], np.int64),
        "nothing": np.zeros((3, POINT_DIM), np.float32),
    }
    inputs = {"groups": ["B", GROUPS, GROUP_SIZE, 3], "centers": ["B", GROUPS, 3]}
    return model_of(nodes, constants, inputs, {"tokens": ["B", GROUPS, POINT_DIM]})


def hallucinator() -> ModelProto:
    """One layer: `hallucination` (B, P, IMAGE_DIM) of `features` (B, P, POINT_DIM)."""
    weights = np.random.default_rng(1).normal(size=(POINT_DIM, IMAGE_DIM)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["features", "weights"], ["mixed"]),
        helper.make_node("Tanh", ["mixed"], ["hallucination"]),
    ]
    inputs = {"features": ["B", "P", POINT_DIM]}
    return model_of(nodes, {"weights": weights}, inputs, {"hallucination": ["B", "P", IMAGE_DIM]})


def model_of(
    nodes: list[Any], constants: dict[str, npt.NDArray[Any]], inputs: dict[str, Any], outputs: dict[str, Any]
) -> ModelProto:
    """An ONNX model of float32 inputs and outputs."""

    def values(shapes: dict[str, Any]) -> list[Any]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]

    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", values(inputs), values(outputs), initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


if __name__ == "__main__":
    main()
