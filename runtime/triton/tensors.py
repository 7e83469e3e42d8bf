"""The tensors that a request to Triton holds and its answer has: names, types, shapes, and what they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ..errors import ScanError, UsageError
from ..inspection import Inspection

Array = npt.NDArray[Any]
LONGEST_LABEL = 200


@dataclass(frozen=True)
class TensorSpec:
    """A tensor as config.pbtxt declares it; `dims` leave out the batch's, -1 is any size."""

    name: str
    type: str
    dims: tuple[int, ...]


SCAN, IMAGE, FILE, IMAGE_FILE, FILE_NAME, PART_ID = "SCAN", "IMAGE", "FILE", "IMAGE_FILE", "FILE_NAME", "PART_ID"
INPUTS = (
    TensorSpec(SCAN, "TYPE_FP32", (-1, -1, 3)),
    TensorSpec(IMAGE, "TYPE_UINT8", (-1, -1, 3)),
    TensorSpec(FILE, "TYPE_STRING", (1,)),
    TensorSpec(IMAGE_FILE, "TYPE_STRING", (1,)),
    TensorSpec(FILE_NAME, "TYPE_STRING", (1,)),
    TensorSpec(PART_ID, "TYPE_STRING", (1,)),
)
# Double precision: rounded to float32, a score beside its threshold could contradict the verdict.
OUTPUTS = (
    TensorSpec("SCORE", "TYPE_FP64", (1,)),
    TensorSpec("THRESHOLD", "TYPE_FP64", (1,)),
    TensorSpec("IS_DEFECT", "TYPE_BOOL", (1,)),
    TensorSpec("MAP", "TYPE_FP32", (-1, -1)),
    TensorSpec("RESULT", "TYPE_STRING", (1,)),
)


@dataclass(frozen=True, eq=False)
class SentPart:
    """What one request holds: arrays or files, never both.

    Attributes:
        name: what messages call it.
        part_id: what the client calls the part; None: it did not say.
        points: (H, W, 3) float32, in the unit of the product's scan files; None in files, or for an image alone.
        rgb: (H, W, 3) uint8, registered with the points; None without one.
        data: a scan's file, or the image's where an image is all that is measured; None in arrays.
        image: the registered image's file; None without one.
    """

    name: str
    part_id: str | None = None
    points: Array | None = field(default=None, repr=False)
    rgb: Array | None = field(default=None, repr=False)
    data: bytes | None = field(default=None, repr=False)
    image: bytes | None = field(default=None, repr=False)

    @classmethod
    def of(cls, tensors: Mapping[str, Array], most_bytes: int) -> SentPart:
        """The part of a request.

        Args:
            tensors: by name, each with a batch dimension in front, as Triton hands them on.
            most_bytes: of all tensors together.

        Raises:
            UsageError: there is more than one part in it, none, or one in two forms.
            ScanError: it is larger than is taken here.
        """
        only = {name: _only(name, array) for name, array in tensors.items()}
        n_bytes = sum(len(value) if isinstance(value, bytes) else value.nbytes for value in only.values())
        if n_bytes > most_bytes:
            raise ScanError(
                f"the request has {n_bytes / 1e6:.0f} MB, and {most_bytes / 1e6:g} MB is the most that is accepted: "
                "raise max_request_mb in config.pbtxt"
            )
        arrays, files = only.keys() & {SCAN, IMAGE}, only.keys() & {FILE, IMAGE_FILE}
        if bool(arrays) == bool(files) or (files and FILE not in files):
            given = ", ".join(sorted(arrays | files)) or "neither"
            raise UsageError(f"a request holds either {SCAN} or {FILE}, but this one has {given}: send one of them")
        part_id = _label(PART_ID, only.get(PART_ID))
        name = _label(FILE_NAME, only.get(FILE_NAME)) or part_id or "request"
        return cls(name, part_id, only.get(SCAN), only.get(IMAGE), only.get(FILE), only.get(IMAGE_FILE))


def output_tensors(inspection: Inspection, name: str, digest: str) -> dict[str, Array]:
    """An inspection as `OUTPUTS`, each with a batch dimension of 1.

    Args:
        inspection: with a verdict.
        name: of the scan.
        digest: of the bundle's manifest: which bundle answered.
    """
    result = {"scan": name, **inspection.as_json(), "ms": inspection.milliseconds, "bundle": digest}
    return {
        "SCORE": np.array([[inspection.score]], np.float64),
        "THRESHOLD": np.array([[inspection.threshold]], np.float64),
        "IS_DEFECT": np.array([[inspection.is_defect]], np.bool_),
        "MAP": np.ascontiguousarray(inspection.map[None], np.float32),
        "RESULT": np.array([[msgspec.json.encode(result)]], np.object_),
    }


def _only(name: str, array: Array) -> Any:
    """The single element along the batch: an array of numbers, or the bytes of a TYPE_STRING.

    Raises:
        UsageError: there are several, or none.
    """
    if array.ndim < 2 or array.shape[0] != 1 or (array.dtype == np.object_ and array.size != 1):
        shape = " x ".join(map(str, array.shape))
        raise UsageError(
            f"{name} is {shape}, but a request holds one part, with a batch dimension of 1: send parts as requests of "
            "their own, the server batches them"
        )
    return bytes(array.flat[0]) if array.dtype == np.object_ else array[0]


def _label(name: str, value: bytes | None) -> str | None:
    """A name from outside, which is never opened.

    Raises:
        UsageError: it is longer than a line.
    """
    text = (value or b"").decode("utf-8", "replace").strip()
    if len(text) > LONGEST_LABEL:
        raise UsageError(f"{name} has more than {LONGEST_LABEL} characters: give a shorter one")
    return text or None
