"""Arrays of any library are seen where they lie; what cannot be seen is refused in one line that says what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cmdiad.runtime.errors import UsageError
from cmdiad.runtime.sensor.host_arrays import host_array

POINTS = np.arange(1, 61, dtype=np.float32).reshape(4, 5, 3)
CPU, CUDA, CUDA_HOST = 1, 2, 3


class Tensor:
    """What another library's tensor looks like from outside."""

    def __init__(self, array: np.ndarray[Any, Any], device: int = CPU, refusal: Exception | None = None) -> None:
        self._array, self._device, self._refusal = array, device, refusal

    def __dlpack__(self, **how: Any) -> Any:
        if self._refusal is not None:
            raise self._refusal
        return self._array.__dlpack__(**how)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._device, 0


class Image:
    """What NumPy looks at by itself, as an image of Pillow."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        return POINTS


@pytest.mark.parametrize("device", [CPU, CUDA_HOST])
def test_a_tensor_in_the_hosts_memory_is_seen_without_a_copy(device: int) -> None:
    seen = host_array(Tensor(POINTS, device), "points")
    assert np.shares_memory(seen, POINTS) and np.array_equal(seen, POINTS)


def test_a_tensor_of_torch_is_seen_without_a_copy() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(POINTS.copy())
    assert np.shares_memory(host_array(tensor, "points"), tensor.numpy())
    with pytest.raises(UsageError, match=r"points: torch .*detach.*give a plain NumPy array"):
        host_array(tensor.clone().requires_grad_(), "points")
    with pytest.raises(UsageError, match="give a plain NumPy array"):
        host_array(tensor.bfloat16(), "points")


def test_what_numpy_looks_at_by_itself_is_taken() -> None:
    assert host_array(Image(), "rgb") is POINTS


def test_a_tensor_on_a_gpu_is_refused_and_not_fetched() -> None:
    refusal = AssertionError("it was fetched")
    with pytest.raises(UsageError, match=r"points is on a GPU .*`\.cpu\(\)` .*`cupy\.asnumpy`"):
        host_array(Tensor(POINTS, CUDA, refusal), "points")


@pytest.mark.parametrize("refusal", [BufferError("it is conjugated"), RuntimeError("a\nlong story."), TypeError("no")])
def test_what_a_library_does_not_give_away_is_said_in_one_line(refusal: Exception) -> None:
    with pytest.raises(UsageError, match="give a plain NumPy array") as caught:
        host_array(Tensor(POINTS, refusal=refusal), "points")
    assert "\n" not in str(caught.value) and str(refusal).split()[0] in str(caught.value)


@pytest.mark.parametrize("nothing", [[[1.0, 2.0, 3.0]], b"bytes", 7.0, None, memoryview(b"bytes")])
def test_what_is_no_array_is_refused(nothing: Any) -> None:
    with pytest.raises(UsageError, match="not an array"):
        host_array(nothing, "points")


def test_a_files_name_is_told_where_it_belongs() -> None:
    with pytest.raises(UsageError, match=r"scan\.tiff: call the inspector with it"):
        host_array("scan.tiff", "points")  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_a_point_of_which_one_coordinate_is_masked_was_not_measured(dtype: type[np.generic]) -> None:
    points = np.ma.array(POINTS.astype(dtype))
    points[1, 2, 0] = np.ma.masked
    seen = host_array(points, "points")
    assert seen.dtype == dtype and not seen[1, 2].any() and seen[1, 3].all()
    assert points.data[1, 2].all()
