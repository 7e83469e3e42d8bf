"""A bundle's serialized TensorRT engine, run by Polygraphy's TrtRunner: no CUDA memory code of our own.

Not run on a GPU yet: `cmdiad-rt selftest --provider tensorrt-rtx-engine` is the proof, on a machine that has one.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

from ..bundle.manifest import Profile, TensorRTEngine
from ..bundle.reading import Bundle
from ..errors import EngineError
from .flavor import Flavor, collecting_logger, flavor_of, import_flavor
from .machine import Machine, this_machine
from .plan_check import check_engine, check_validity, choose_engine, graph_of, rebuild_command
from .session import Arrays

_RTX_VARIABLE = "POLYGRAPHY_USE_TENSORRT_RTX"


def open_tensorrt_engine(
    bundle: Bundle, role: str, flavor_name: str, cuda_graph: bool = False, machine: Machine | None = None
) -> EngineSession:
    """Check an engine of a bundle, deserialize it and make it ready.

    Args:
        bundle: verified.
        role: which network.
        flavor_name: tensorrt or tensorrt-rtx.
        cuda_graph: capture the whole network as one CUDA graph (TensorRT-RTX).
        machine: to check against; None: this one.

    Raises:
        EngineError: the flavor, Polygraphy or a GPU is missing, or no engine of the bundle fits them.
        BundleError: the engine does not belong to the bundle's graph.
    """
    flavor, machine = flavor_of(flavor_name), machine or this_machine()
    engine = choose_engine(bundle, role, flavor.name, machine)
    trt = import_flavor(flavor)
    plan = bundle.read(engine.file)
    check_engine(bundle, engine, plan, trt.__version__, machine)
    polygraphy = import_polygraphy(flavor)
    command = rebuild_command(bundle, flavor.name, machine.target or "")
    deserialized = _deserialize(trt, engine, plan, bundle, command)
    context = _context(trt, deserialized, cuda_graph)
    return EngineSession(polygraphy.TrtRunner(context), engine)


class EngineSession:
    """A TensorRT engine on its device."""

    def __init__(self, runner: Any, engine: TensorRTEngine) -> None:
        """Activate a TrtRunner, which is deactivated with the session; `engine` is its entry in the manifest."""
        self._runner, self._engine = runner, engine
        runner.activate()
        self._release = weakref.finalize(self, runner.deactivate)

    def run(self, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Run the engine; the inputs are checked against its profile first.

        Raises:
            EngineError: an input is missing or outside the profile, or TensorRT cannot run it.
        """
        profiles = self._engine.profiles
        if inputs.keys() != profiles.keys():
            raise EngineError(f"{self._engine.file} takes {sorted(profiles)}, got {sorted(inputs)}")
        for name, array in inputs.items():
            if not within(profiles[name], array.shape):
                raise EngineError(
                    f"{self._engine.file}: input {name!r} takes {profiles[name].min} to {profiles[name].max}, "
                    f"got {list(array.shape)}: build it with a larger --batch"
                )
        try:
            outputs = self._runner.infer({name: np.ascontiguousarray(array) for name, array in inputs.items()})
        except Exception as cause:  # Polygraphy's and TensorRT's errors share no public base class
            raise EngineError(f"{self._engine.file}: TensorRT cannot run it: {' '.join(str(cause).split())}") from cause
        # The runner writes into the same buffers next time.
        return {name: np.array(output) for name, output in outputs.items()}


def within(profile: Profile, shape: tuple[int, ...]) -> bool:
    """Whether an engine with this profile takes an input of this shape."""
    return len(shape) == len(profile.min) and all(
        low <= size <= high for low, size, high in zip(profile.min, shape, profile.max, strict=True)
    )


def import_polygraphy(flavor: Flavor) -> Any:
    """Polygraphy's TensorRT backend, bound to the flavor.

    Raises:
        EngineError: Polygraphy is not installed, or bound to the other flavor in this process.
    """
    if importlib.util.find_spec("polygraphy") is None:
        raise EngineError(f"Polygraphy is not installed; it runs {flavor.name} engines: {flavor.install}")
    wanted = "1" if flavor.name == "tensorrt-rtx" else "0"
    if "polygraphy" in sys.modules and os.environ.get(_RTX_VARIABLE, "0") != wanted:
        raise EngineError("engines of both TensorRT flavors cannot run in one process: use separate processes")
    os.environ[_RTX_VARIABLE] = wanted
    return importlib.import_module("polygraphy.backend.trt")


def _deserialize(trt: Any, engine: TensorRTEngine, plan: bytes, bundle: Bundle, command: str) -> Any:
    """The engine in the device's memory, with its weights.

    Raises:
        EngineError: with what TensorRT says.
    """
    logger = collecting_logger(trt)
    runtime = trt.Runtime(logger)
    check_validity(trt, runtime, engine, plan, command)
    deserialized = runtime.deserialize_cuda_engine(plan)
    if deserialized is None:
        raise EngineError(
            f"{engine.file}: cannot be deserialized: {logger.errors() or 'TensorRT gives no reason'}: {command}"
        )
    if engine.stripped:
        _refit(trt, deserialized, bundle.read(graph_of(bundle, engine.role).file), engine.file, logger)
    return deserialized


def _refit(trt: Any, deserialized: Any, graph: bytes, file: str, logger: Any) -> None:
    """Give a stripped engine the weights of the graph it was built from.

    Raises:
        EngineError: with what TensorRT says.
    """
    refitter = trt.Refitter(deserialized, logger)
    if not (trt.OnnxParserRefitter(refitter, logger).refit_from_bytes(graph) and refitter.refit_cuda_engine()):
        raise EngineError(f"{file}: its weights cannot be put back: {logger.errors() or 'TensorRT gives no reason'}")


def _context(trt: Any, deserialized: Any, cuda_graph: bool) -> Any:
    """An execution context; TensorRT-RTX can capture the whole network as one CUDA graph.

    Raises:
        EngineError: CUDA graphs were asked for and the flavor has no such option, or there is no memory.
    """
    if not cuda_graph:
        context = deserialized.create_execution_context()
    elif hasattr(trt, "CudaGraphStrategy"):
        config = deserialized.create_runtime_config()
        config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        context = deserialized.create_execution_context(config)
    else:
        raise EngineError("--cuda-graph: engines of standard TensorRT have no such option here: leave it out")
    if context is None:
        raise EngineError("TensorRT cannot make an execution context: is the device's memory full?")
    return context
