"""cmdiad: cross-modal-distillation anomaly detection, from the workstation to the production line."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .calibration.calibration_settings import CalibrationSettings
    from .calibration.python_calibrate import calibrate
    from .export.export_settings import ExportSettings
    from .export.python_export import evaluate, export
    from .runtime.bundle.parameters import Preprocessing
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
    from .runtime.sensor.find import find_scans
    from .runtime.sensor.in_memory import PartInMemory
    from .runtime.sensor.part import Part, part_from_arrays
    from .runtime.stream import Outcome, inspect_stream
    from .runtime.verdict.cloud import write_cloud
    from .runtime.verdict.regions import DefectRegion
    from .runtime.verdict.saved_files import SavedFiles

__all__ = [
    "BundleError",
    "BusyError",
    "CalibrationSettings",
    "CmdiadError",
    "DefectRegion",
    "EngineError",
    "ExportSettings",
    "Inspection",
    "Inspector",
    "InternalError",
    "LineRateError",
    "MachineError",
    "NotFiniteError",
    "Outcome",
    "OutputError",
    "ParityError",
    "Part",
    "PartInMemory",
    "Preprocessing",
    "SavedFiles",
    "ScanError",
    "TrustedKeys",
    "UsageError",
    "WeightsError",
    "__version__",
    "calibrate",
    "evaluate",
    "export",
    "find_scans",
    "inspect_stream",
    "part_from_arrays",
    "write_cloud",
]

# Where what is loaded on first use lives; the errors are in one place.
_MODULES = {
    "CalibrationSettings": "calibration.calibration_settings",
    "calibrate": "calibration.python_calibrate",
    "ExportSettings": "export.export_settings",
    "evaluate": "export.python_export",
    "Inspector": "runtime.inspector",
    "Inspection": "runtime.inspection",
    "Outcome": "runtime.stream",
    "inspect_stream": "runtime.stream",
    "find_scans": "runtime.sensor.find",
    "Part": "runtime.sensor.part",
    "part_from_arrays": "runtime.sensor.part",
    "PartInMemory": "runtime.sensor.in_memory",
    "Preprocessing": "runtime.bundle.parameters",
    "DefectRegion": "runtime.verdict.regions",
    "SavedFiles": "runtime.verdict.saved_files",
    "TrustedKeys": "runtime.bundle.signature",
    "write_cloud": "runtime.verdict.cloud",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use, so that `import cmdiad` costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "export":  # the package of that name, which can be called
        return import_module(f"{__name__}.export")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'runtime.errors')}"), name)


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
