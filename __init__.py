"""cmdiad: cross-modal-distillation anomaly detection, from the workstation to the production line."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .runtime.bundle.signature import TrustedKeys
    from .runtime.errors import (
        BundleError,
        BusyError,
        CmdiadError,
        EngineError,
        InternalError,
        LineRateError,
        MachineError,
        NotFiniteError,
        OutputError,
        ParityError,
        ScanError,
        UsageError,
        WeightsError,
    )
    from .runtime.inspection import Inspection
    from .runtime.inspector import Inspector
    from .runtime.sensor.part import Part, part_from_arrays
    from .runtime.verdict.cloud import write_cloud
    from .runtime.verdict.regions import DefectRegion

__all__ = [
    "BundleError",
    "BusyError",
    "CmdiadError",
    "DefectRegion",
    "EngineError",
    "Inspection",
    "Inspector",
    "InternalError",
    "LineRateError",
    "MachineError",
    "NotFiniteError",
    "OutputError",
    "ParityError",
    "Part",
    "ScanError",
    "TrustedKeys",
    "UsageError",
    "WeightsError",
    "__version__",
    "part_from_arrays",
    "write_cloud",
]

# Where what is loaded on first use lives; the errors are in one place.
_MODULES = {
    "Inspector": "inspector",
    "Inspection": "inspection",
    "Part": "sensor.part",
    "part_from_arrays": "sensor.part",
    "DefectRegion": "verdict.regions",
    "TrustedKeys": "bundle.signature",
    "write_cloud": "verdict.cloud",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use, so that `import cmdiad` costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.runtime.{_MODULES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
