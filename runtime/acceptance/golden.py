"""Golden scans: a few inspections, recorded in the bundle when it was calibrated, for any machine to repeat.

The record holds the scan itself, what went into and came out of every network, the map, the score and the verdict. Of
large tensors it keeps a fixed random choice of elements, so that it stays small whatever the sensor.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from ..bundle.bounds import require_finite
from ..bundle.manifest import Manifest
from ..bundle.reading import Bundle
from ..bundle.writing import Content
from ..engines.opening import Recorder
from ..errors import BundleError, EngineError, ScanError, naming_scan
from ..files.json_encoding import decode_json
from ..inspection import Inspection
from ..inspector import Inspector
from ..patches.routes import modalities
from ..sensor.image import decode_rgb
from ..sensor.in_memory import PartSource, read_source
from ..sensor.part import Part, part_from_arrays
from ..sensor.readers import decode_scan

FOLDER = "golden"
INDEX = f"{FOLDER}/golden.json"
MAP = "map"
RECORDED_ON = "cpu"
MAX_PIXELS = 1 << 20
MAX_ELEMENTS = 16_384

Array = npt.NDArray[np.float32]
Record = TypeVar("Record")


class GoldenTensor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One recorded tensor.

    Attributes:
        name: `role.tensor`, or `map`.
        shape: of the whole tensor.
        scale: its largest absolute value, in its own unit.
        file: the .npy file of its chosen elements, see `choose_elements`.
    """

    name: str
    shape: tuple[int, ...]
    scale: float
    file: str

    def __post_init__(self) -> None:
        """Refuse a scale that nothing can be compared by."""
        if not 0 <= self.scale < math.inf:
            raise ValueError(f"scale is {self.scale}: must be finite and not below 0")


class GoldenCase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One recorded inspection; `scan` and `image` are files of the bundle, where the route needs them."""

    name: str
    scan: str | None
    image: str | None
    score: float
    is_defect: bool
    tensors: list[GoldenTensor]

    def __post_init__(self) -> None:
        """Refuse a score that nothing can be compared with; see `bounds`."""
        require_finite(self, "score")


class Golden(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of golden/golden.json; `provider` is what the networks ran on when it was recorded."""

    provider: str
    cases: list[GoldenCase]

    def __post_init__(self) -> None:
        """Refuse a record that every machine would pass."""
        if not self.cases:
            raise ValueError("cases: there is none")


def record_golden(bundle: Bundle, scans: Mapping[str, PartSource | Part]) -> dict[str, Content]:
    """Inspect scans on the CPU with a calibrated bundle, which may not be written yet.

    Args:
        bundle: calibrated.
        scans: scan files, parts in memory, or parts such as those of another bundle's record, by the name of the case.

    Returns:
        The files of the record.

    Raises:
        ScanError: a scan cannot be read or inspected.
        EngineError: a network gives values that are not finite for a scan.
    """
    inspector = Inspector(bundle, RECORDED_ON, graph="networks", allow_any_size=True)
    files: dict[str, Content] = {}
    cases = []
    for name, scan in scans.items():
        where = f"golden scan {name}" if isinstance(scan, Part) else str(scan)
        with naming_scan(where):
            part = scan if isinstance(scan, Part) else _read(scan, bundle.manifest)
            # A region of interest is of the scan's own pixels.
            part = bounded(part) if bundle.manifest.preprocessing.roi is None else part
            inspection, tensors = replay(inspector, part)
        _require_finite(where, {**tensors, "score": np.float32(inspection.score)})
        cases.append(_record(name, part, inspection, tensors, files))
    files[INDEX] = msgspec.json.format(msgspec.json.encode(Golden(provider=RECORDED_ON, cases=cases)), indent=2) + b"\n"
    return files


def golden_files(manifest: Manifest) -> list[str]:
    """The files of a bundle's record."""
    return [name for name in manifest.files if name.startswith(f"{FOLDER}/")]


def read_golden(bundle: Bundle) -> Golden:
    """The record of a bundle.

    Raises:
        BundleError: it is missing, or cannot be read.
    """
    if INDEX not in bundle.manifest.files:
        raise BundleError(f"{bundle.path}: there are no golden scans in it: run `cmdiad calibrate SCANS` again")
    return decode_record(bundle, INDEX, Golden, "a record of golden scans")


def recorded_verdicts(contents: Mapping[str, Content]) -> dict[str, bool]:
    """Which cases are defective, of the files of a record that may not be written yet."""
    index = contents[INDEX]
    assert isinstance(index, bytes)
    golden = decode_json(index, Golden)
    return {case.name: case.is_defect for case in golden.cases}


def unseen_defect(verdicts: Iterable[bool]) -> str:
    """What a self-test of these verdicts never shows, as a sentence; empty where one is a defect."""
    if any(verdicts):
        return ""
    return (
        "all golden scans are good parts, so the self-test never sees a DEFECT verdict: `cmdiad calibrate "
        "--defective SCAN` records a defect among them"
    )


def decode_record(bundle: Bundle, file: str, kind: type[Record], what: str) -> Record:
    """A file of the golden folder as what it must be; `what` names that.

    Raises:
        BundleError: it is something else.
    """
    try:
        return decode_json(bundle.read(file), kind)
    except msgspec.MsgspecError as cause:
        raise BundleError(f"{bundle.path}: {file} is not {what} ({cause}): calibrate again") from cause


def read_case(bundle: Bundle, case: GoldenCase) -> Part:
    """The part that a case inspects.

    Raises:
        BundleError: its files are not what they must be.
    """
    try:
        points = None if case.scan is None else decode_scan(bundle.read(case.scan)).numbers
        rgb = None if case.image is None else decode_rgb(bundle.read(case.image))
        # What lies far from the origin is recorded in float64, and read as a file of it would be.
        if points is not None and points.dtype == np.float64:
            return part_from_arrays(points, rgb)
    except ScanError as cause:
        raise BundleError(f"{bundle.path}: the golden scan {case.name}: {cause}: calibrate again") from cause
    return Part(None if points is None else points.astype(np.float32, copy=False), rgb)


def replay(inspector: Inspector, part: Part) -> tuple[Inspection, dict[str, Array]]:
    """Inspect a part: the inspection, and every tensor by its name, the map last."""
    recorder = Recorder()
    with inspector.observed(recorder):
        inspection = inspector.inspect(part)
    return inspection, {**recorder.tensors, MAP: inspection.map}


def choose_elements(tensor: Array) -> Array:
    """At most 16,384 elements of a tensor in its own order, always the same ones of the same shape."""
    flat = tensor.reshape(-1)
    if flat.size <= MAX_ELEMENTS:
        return flat
    chosen = np.sort(np.random.default_rng(0).choice(flat.size, MAX_ELEMENTS, replace=False))
    elements: Array = flat[chosen]
    return elements


def bounded(part: Part) -> Part:
    """A part of at most a mebipixel: every n-th row and column of a larger one."""
    measured = part.rgb if part.points is None else part.points
    assert measured is not None
    (height, width), step = measured.shape[:2], 1
    while -(-height // step) * -(-width // step) > MAX_PIXELS:
        step += 1
    thinned = (slice(None, None, step), slice(None, None, step))
    return Part(
        points=None if part.points is None else np.ascontiguousarray(part.points[thinned]),
        rgb=None if part.rgb is None else np.ascontiguousarray(part.rgb[thinned]),
        origin=part.origin,
    )


def _read(scan: PartSource, manifest: Manifest) -> Part:
    return read_source(scan, modalities(manifest), manifest.preprocessing)


def _require_finite(scan: str, tensors: Mapping[str, npt.NDArray[np.float32] | np.float32]) -> None:
    for name, tensor in tensors.items():
        wrong = int(np.sum(~np.isfinite(tensor)))
        if wrong:
            raise EngineError(
                f"{scan}: {wrong} of {np.size(tensor)} values of {name} are not finite: this precision or provider "
                "does not compute this scan; choose another"
            )


def _record(
    name: str, part: Part, inspection: Inspection, tensors: Mapping[str, Array], files: dict[str, Content]
) -> GoldenCase:
    """Put one inspection's files into `files`, and describe it."""
    scan = image = None
    if part.points is not None:
        scan = f"{FOLDER}/{name}_scan.tiff"
        files[scan] = encode_points(part.coordinates())
    if part.rgb is not None:
        image = f"{FOLDER}/{name}_image.png"
        files[image] = _encode_rgb(part.rgb)
    entries = []
    for tensor_name, tensor in tensors.items():
        file = f"{FOLDER}/{name}_{tensor_name.replace('.', '_')}.npy"
        files[file] = choose_elements(tensor)
        scale = float(np.abs(tensor).max(initial=0))
        entries.append(GoldenTensor(name=tensor_name, shape=tensor.shape, scale=scale, file=file))
    return GoldenCase(
        name=name, scan=scan, image=image, score=inspection.score, is_defect=inspection.is_defect, tensors=entries
    )


def encode_points(points: npt.NDArray[np.floating]) -> bytes:
    """(H, W, 3) floats as a compressed TIFF; equal points give equal bytes."""
    stream = io.BytesIO()
    tifffile.imwrite(
        stream, points, photometric="rgb", compression="zlib", predictor=True, metadata=None, software=False
    )
    return stream.getvalue()


def _encode_rgb(rgb: npt.NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "PNG")
    return stream.getvalue()
