"""The roofline of an inspection: operations and bytes by stage, against what this machine reaches at its best.

    python benchmarks/gates/roofline.py FOLDER

FOLDER was written by `workbench.py`. Peaks are measured here: a large float32 product, a large int8 product (ONNX
Runtime's, on all threads), and reading memory. A stage's bound is the longer of its operations at the peak of its
precision and its bytes at the peak of memory. Operations count a multiplication and an addition as two; only those of
products are counted. Prints one JSON object a measure, then the machine.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from cmdiad.benchmarks.shared.measuring import machine
from cmdiad.benchmarks.shared.workbench import PRECISIONS, for_prepared, inspect_prepared, typical_scan
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.engines.onnxruntime_import import import_onnxruntime
from cmdiad.runtime.inspection import Inspection
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.patches.pooling import foreground_patches
from cmdiad.training.extractors.point_transformer import MLP_RATIO, POINT_MAE_FULL
from onnx import TensorProto, helper

SIDE = 4096
REPEATS = 7
HIDDEN = 1920
DIM = 768
BANK_ROWS = 76_000


def main(folder: Path) -> None:
    """Measure peaks and stages, and print."""
    peaks = {"fp32": product_peak("fp32"), "int8": product_peak("int8")}
    bandwidth = memory_peak()
    peak = {"measure": "peak", "fp32_gflops": round(peaks["fp32"] / 1e9), "int8_gops": round(peaks["int8"] / 1e9)}
    print(json.dumps({**peak, "memory_gb_s": round(bandwidth / 1e9, 1)}), flush=True)
    scan = typical_scan(folder)
    inspectors = {precision: Inspector(for_prepared(open_bundle(folder / precision))) for precision in PRECISIONS}
    for precision, inspector in inspectors.items():
        ours_ms, n_patches = stage_ms(partial(inspect_prepared, inspector, scan))
        for stage, (low, high, size) in costs(n_patches, precision).items():
            bound = max(low / peaks[precision] + high / peaks["fp32"], size / bandwidth)
            line = {
                "measure": f"roofline_{stage}_{precision}",
                "gflop": round((low + high) / 1e9, 1),
                "mbytes": round(size / 1e6),
                "bound_ms": round(1e3 * bound, 1),
                "ours_ms": round(ours_ms[stage], 1),
                "share_of_bound": round(1e3 * bound / ours_ms[stage], 2),
            }
            print(json.dumps(line), flush=True)
    print(json.dumps(machine()))


def costs(n_patches: int, precision: str) -> dict[str, tuple[float, float, float]]:
    """By stage: operations in the precision of the weights, operations in float32 whatever it is, bytes read.

    The search's are those of the direct one, which measures every row: what the screen saves is what it is below.
    """
    config = POINT_MAE_FULL
    groups, size = config.grouping.n_groups, config.grouping.group_size
    first, local, hidden = config.encoder_widths
    encoder = 2 * groups * (size * (first * local + first * hidden + hidden * config.encoder_dim) + local * hidden)
    width = 1 if precision == "int8" else 4
    weights = 12 * (4 + 2 * MLP_RATIO) * config.dim**2
    # Scores are products in the precision of the weights, what they weigh is one in float32.
    half_attention = 12 * 2 * groups**2 * config.dim
    f2f = 2 * DIM * HIDDEN + HIDDEN**2
    search = 2 * 2 * n_patches * BANK_ROWS * DIM
    return {
        "extract": (
            encoder + 2 * groups * weights + half_attention,
            half_attention + 2 * groups * size * 3 * first,
            weights * width,
        ),
        "hallucinate": (2 * n_patches * f2f, 0.0, f2f * width),
        "search": (0.0, search, 2 * BANK_ROWS * DIM * 4),
    }


def stage_ms(run: Callable[[], Inspection]) -> tuple[dict[str, float], int]:
    """Median milliseconds by stage, and how many patches the part has."""
    run()
    inspections = [run() for _ in range(REPEATS)]
    stages = {
        stage: 1e3 * float(np.median([inspection.seconds[stage] for inspection in inspections]))
        for stage in inspections[0].seconds
    }
    return stages, int(foreground_patches(inspections[0].valid).sum())


def product_peak(precision: str) -> float:
    """Operations a second of a large product in ONNX Runtime, the best of several."""
    onnxruntime = import_onnxruntime()
    rng = np.random.default_rng(0)
    left: npt.NDArray[np.generic]
    right: npt.NDArray[np.generic]
    if precision == "fp32":
        kind, operator, types = TensorProto.FLOAT, "MatMul", TensorProto.FLOAT
        left, right = (rng.standard_normal((SIDE, SIDE), dtype=np.float32) for _ in range(2))
    else:
        kind, operator, types = TensorProto.UINT8, "MatMulInteger", TensorProto.INT32
        left = rng.integers(0, 255, (SIDE, SIDE), dtype=np.uint8)
        right = rng.integers(-127, 127, (SIDE, SIDE), dtype=np.int8)
    graph = helper.make_graph(
        [helper.make_node(operator, ["a", "b"], ["y"])],
        "product",
        [helper.make_tensor_value_info("a", kind, [SIDE, SIDE])],
        [helper.make_tensor_value_info("y", types, [SIDE, SIDE])],
        [helper.make_tensor("b", helper.np_dtype_to_tensor_dtype(right.dtype), right.shape, right.tobytes(), raw=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return 2 * SIDE**3 / best_seconds(lambda: session.run(None, {"a": left}))


def memory_peak() -> float:
    """Bytes a second that one thread reads from memory, in pieces far larger than the caches."""
    values = np.ones(64 << 20, np.float32)
    return values.nbytes / best_seconds(values.max)


def best_seconds(run: Callable[[], object]) -> float:
    """The shortest of several runs: what the machine can."""
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return min(times)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python benchmarks/gates/roofline.py FOLDER, made by benchmarks/shared/workbench.py")
    main(Path(sys.argv[1]))
