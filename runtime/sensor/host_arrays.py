"""Arrays of any library in the host's memory, as NumPy sees them: nothing is copied, and nothing is guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from ..errors import UsageError

# DLDeviceType of DLPack: the processor, and memory of the host that a GPU reaches too (CUDA, ROCm).
_HOST_DEVICES = (1, 3, 11)


@runtime_checkable
class HasArray(Protocol):
    """What NumPy can look at by itself: an image of Pillow, a column of pandas, a tensor on the CPU."""

    def __array__(self) -> npt.NDArray[Any]:
        """The numbers."""


@runtime_checkable
class HasDLPack(Protocol):
    """A tensor that is exchanged by DLPack: of PyTorch, CuPy, JAX, and most others."""

    def __dlpack__(self, *, stream: Any = None) -> Any:
        """The capsule."""

    def __dlpack_device__(self) -> tuple[int, int]:
        """Where the numbers are: the kind of device and its number."""


ArrayInput: TypeAlias = npt.NDArray[Any] | HasArray | HasDLPack
"""What is taken for an array."""


def host_array(values: ArrayInput, name: str) -> npt.NDArray[Any]:
    """A view of somebody's array; masked elements become missing points.

    What lies on a GPU is refused, not fetched: a copy of many megabytes a part is the caller's to decide on.

    Args:
        values: of NumPy, or with `__array__` or DLPack.
        name: what it is, for messages.

    Raises:
        UsageError: it is not an array, is on a GPU, or its library does not share it.

    Example:
        >>> host_array(np.ma.masked_equal(np.array([[[1, 2, -1]]]), -1), "points")
        array([[[0, 0, 0]]])
    """
    if isinstance(values, np.ma.MaskedArray):
        return _without_masked(values)
    if isinstance(values, np.ndarray):
        return np.asarray(values)
    if isinstance(values, str | Path):
        raise UsageError(f"{name} is a file name, {values}: call the inspector with it, or read the file first")
    if isinstance(values, HasDLPack):
        return _from_dlpack(values, name)
    if isinstance(values, HasArray):
        return np.asarray(values)
    raise UsageError(
        f"{name} is a {type(values).__name__}, not an array: give a NumPy array, or one with `__array__`, `__dlpack__`"
    )


def _from_dlpack(values: HasDLPack, name: str) -> npt.NDArray[Any]:
    library = type(values).__module__.split(".")[0]
    try:
        if values.__dlpack_device__()[0] in _HOST_DEVICES:
            return np.from_dlpack(values)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise UsageError(f"{name}: {library} does not export it ({reason}): give a plain NumPy array") from error
    raise UsageError(
        f"{name} is on a GPU ({library}): copy it into the host's memory first, as `.cpu()` of PyTorch or "
        "`cupy.asnumpy` does"
    )


def _without_masked(values: np.ma.MaskedArray[Any, Any]) -> npt.NDArray[Any]:
    """A copy in which a point of any masked coordinate is (0, 0, 0): not measured. `np.asarray` would unmask it."""
    masked: npt.NDArray[np.bool_] = np.ma.getmaskarray(values)
    if masked.ndim == 3:
        masked = np.logical_or.reduce(masked, axis=-1, keepdims=True)
    return np.where(masked, values.data.dtype.type(0), values.data)
