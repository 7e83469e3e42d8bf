"""The one door to ONNX Runtime: before it is imported its telemetry is off, and its half-precision sums are precise."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from ..errors import EngineError

TELEMETRY_SWITCH = "ORT_DISABLE_TELEMETRY"
# Bits of the CUDA provider's switch: products in half precision are added in it, or their partial sums are not.
GEMM_SWITCH, ADD_IN_HALF, NO_PARTS_IN_HALF = "ORT_CUDA_GEMM_OPTIONS", 1, 2


def switch_telemetry_off() -> None:
    """Tell ONNX Runtime not to report, in this process and in those that it starts.

    Linux wheels since 1.29 write a device ID and a store of events below the user's cache folder, and ask for a
    host, as soon as they are imported.
    """
    os.environ[TELEMETRY_SWITCH] = "1"


def add_in_single_precision() -> None:
    """Have the CUDA provider add half-precision products in single precision throughout.

    cuBLAS may otherwise round the sums of parts of a product to half precision, which the bound of the line graph's
    screen does not allow for (docs/search.md, section 7).
    """
    asked = os.environ.get(GEMM_SWITCH, "0")
    options = int(asked) if asked.isdecimal() else 0
    os.environ[GEMM_SWITCH] = str((options | NO_PARTS_IN_HALF) & ~ADD_IN_HALF)


def import_onnxruntime() -> Any:
    """ONNX Runtime's module, silent.

    Raises:
        EngineError: it is not installed.
    """
    switch_telemetry_off()
    add_in_single_precision()
    if importlib.util.find_spec("onnxruntime") is None:
        raise EngineError("ONNX Runtime is not installed: pip install 'cmdiad[cpu]' (or 'cmdiad[gpu]')")
    import onnxruntime

    if hasattr(onnxruntime, "disable_telemetry_events"):
        # The caller may have imported it before us, with the switch on.
        onnxruntime.disable_telemetry_events()
    return onnxruntime
