"""TensorRT in its two flavors: one Python API, to which TensorRT-RTX adds target compute capabilities.

Nothing here is imported before a flavor is asked for.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..bundle.parameters import FlavorName
from ..errors import EngineError, UsageError

# What TensorRT logs of itself on a machine without a driver, whatever was asked of it.
_NOISE = ("catchCudaError", "cudaError 35")


@dataclass(frozen=True)
class Flavor:
    """One flavor of TensorRT.

    Attributes:
        name: as `--engine` takes it.
        module: the Python package.
        install: what to do where it is missing.
        targets: the compute capabilities that it builds for and runs on, in the order of the bits of its engines'
            header; empty: it builds on the GPU itself, for that one.
        fp16_only: those of them on which it takes fp16 graphs only.
    """

    name: FlavorName
    module: str
    install: str
    targets: tuple[str, ...] = ()
    fp16_only: tuple[str, ...] = ()

    def serves(self, target: str) -> bool:
        """Whether it can run on a GPU of this compute capability, such as sm86."""
        return not self.targets or target in self.targets

    def require_served(self, target: str) -> None:
        """Refuse a GPU that it has nothing for.

        Raises:
            EngineError: says what runs there.
        """
        if not self.serves(target):
            raise EngineError(
                f"{self.name} does not run on {target} (it has {', '.join(self.targets)}): choose --provider cuda, or "
                "build engines of standard TensorRT on this machine (cmdiad export --bundle BUNDLE --engine tensorrt) "
                "and choose --provider tensorrt-engine"
            )


FLAVORS: Mapping[str, Flavor] = {
    "tensorrt": Flavor("tensorrt", "tensorrt", "pip install 'cmdiad[tensorrt]' on the machine with the GPU"),
    "tensorrt-rtx": Flavor(
        "tensorrt-rtx",
        "tensorrt_rtx",
        "pip install 'cmdiad[tensorrt-rtx]' (no GPU is needed)",
        targets=("sm75", "sm80", "sm86", "sm89", "sm120", "sm121"),
        fp16_only=("sm75",),
    ),
}


def flavor_of(name: str) -> Flavor:
    """The flavor of a name.

    Raises:
        UsageError: there is none.
    """
    if name not in FLAVORS:
        raise UsageError(f"unknown engine {name!r}: choose one of {', '.join(FLAVORS)}")
    return FLAVORS[name]


def import_flavor(flavor: Flavor) -> Any:
    """The flavor's Python module.

    Raises:
        EngineError: it is not installed, or a library of it does not load.
    """
    if importlib.util.find_spec(flavor.module) is None:
        raise EngineError(f"{flavor.name} is not installed: {flavor.install}")
    try:
        return importlib.import_module(flavor.module)
    except (ImportError, OSError) as cause:
        raise EngineError(f"{flavor.name} does not load ({cause}): {flavor.install}") from cause


def collecting_logger(trt: Any) -> Any:
    """A logger that keeps what TensorRT says, as (severity, text) in `messages`; `errors()` gives the errors' texts."""

    class CollectingLogger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.messages: list[tuple[str, str]] = []

        def log(self, severity: Any, text: str) -> None:
            if severity.name != "VERBOSE" and not any(noise in text for noise in _NOISE):
                self.messages.append((severity.name, " ".join(text.split())))

        def errors(self) -> str:
            return "; ".join(text for severity, text in self.messages if severity in ("ERROR", "INTERNAL_ERROR"))

    return CollectingLogger()
