"""The device that kernels share with the networks of a provider; one a process."""

from __future__ import annotations

import threading
import warnings

from ..errors import EngineError
from .cuda import open_cuda_device
from .device import Device
from .providers import PROVIDERS

_OPENING = threading.Lock()
_OPENED: dict[str, Device | None] = {}


def shared_device(provider: str) -> Device | None:
    """The device in whose memory a provider's networks keep their inputs, for kernels to write them there.

    Opened once, and shared by whoever takes turns on it.

    Args:
        provider: as `--provider` takes it.

    Returns:
        None where the provider shares no memory, and where kernels cannot run: that is warned of, since what kernels
        would do then takes the CPU many times as long.
    """
    memory = PROVIDERS[provider].device if provider in PROVIDERS else None
    if memory is None:
        return None
    with _OPENING:
        if memory not in _OPENED:
            try:
                _OPENED[memory] = open_cuda_device()
            except EngineError as reason:
                _OPENED[memory] = None
                warnings.warn(f"points are grouped on the CPU, which is slow: {reason}", stacklevel=3)
        return _OPENED[memory]
