"""A small engine, built for this machine's GPU and run on it: proof that library, driver and GPU fit together."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import EngineError
from .flavor import Flavor, collecting_logger, import_flavor
from .plan import import_polygraphy


def run_small_engine(flavor: Flavor, target: str) -> None:
    """Build x + x for a GPU and run it there.

    Args:
        flavor: tensorrt or tensorrt-rtx.
        target: the compute capability of this machine's first GPU.

    Raises:
        EngineError: it cannot be built or run, in TensorRT's own words.
    """
    trt = import_flavor(flavor)
    polygraphy = import_polygraphy(flavor)
    logger = collecting_logger(trt)
    runtime = trt.Runtime(logger)
    engine = runtime.deserialize_cuda_engine(small_plan(trt, target, logger))
    context = None if engine is None else engine.create_execution_context()
    if context is None:
        raise EngineError(
            f"{flavor.name} cannot load a small engine on this {target}: {_words(logger)}; update the driver"
        )
    x = np.eye(2, dtype=np.float32)
    with polygraphy.TrtRunner(context) as runner:
        if not np.array_equal(runner.infer({"x": x})["y"], 2 * x):
            raise EngineError(
                f"{flavor.name} gives wrong results for a small engine on this {target}: update the driver"
            )


def small_plan(trt: Any, target: str, logger: Any) -> bytes:
    """The engine of x + x for (2, 2) float32, which is no matrix product: those of float32 not every GPU has.

    Raises:
        EngineError: TensorRT cannot build it.
    """
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    x = network.add_input("x", trt.float32, (2, 2))
    y = network.add_elementwise(x, x, trt.ElementWiseOperation.SUM).get_output(0)
    y.name = "y"
    network.mark_output(y)
    config = builder.create_builder_config()
    if hasattr(trt, "ComputeCapability"):
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.__members__[target.upper()], 0)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(f"TensorRT cannot build a small engine for {target}: {_words(logger)}")
    return bytes(plan)


def _words(logger: Any) -> str:
    return str(logger.errors()) or "it gives no reason"
