"""The one door to ONNX Runtime: its telemetry is off before it is imported."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from ..errors import EngineError

TELEMETRY_SWITCH = "ORT_DISABLE_TELEMETRY"


def switch_telemetry_off() -> None:
    """Tell ONNX Runtime not to report, in this process and in those that it starts.

    Linux wheels since 1.29 write a device ID and a store of events below the user's cache folder, and ask for a
    host, as soon as they are imported.
    """
    os.environ[TELEMETRY_SWITCH] = "1"


def import_onnxruntime() -> Any:
    """ONNX Runtime's module, silent.

    Raises:
        EngineError: it is not installed.
    """
    switch_telemetry_off()
    if importlib.util.find_spec("onnxruntime") is None:
        raise EngineError("ONNX Runtime is not installed: pip install 'cmdiad[cpu]' (or 'cmdiad[gpu]')")
    import onnxruntime

    if hasattr(onnxruntime, "disable_telemetry_events"):
        # The caller may have imported it before us, with the switch on.
        onnxruntime.disable_telemetry_events()
    return onnxruntime
