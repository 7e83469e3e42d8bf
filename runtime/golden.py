"""Golden scans: a few inspections, recorded in the bundle when it was calibrated, for any machine to repeat.

Recorded are the scan itself, what went into and came out of every network, the map, the score and the verdict. Of
large tensors a fixed random choice of elements is kept, so that the record stays small whatever the sensor.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from .bundle import Bundle, open_bundle
from .bundle_writing import Content, rewrite_bundle
from .engine_opening import Recorder
from .errors import BundleError, ScanError, naming_scan
from .image import decode_rgb
from .inspector import Inspection, Inspector
from .manifest import Manifest
from .readers import decode_scan
from .sensor.part import Part, modalities, read_part

FOLDER = "golden"
INDEX = f"{FOLDER}/golden.json"
MAP = "map"
MAX_PIXELS = 1 << 20
MAX_ELEMENTS = 16_384

Array = npt.NDArray[np.float32]


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


class GoldenCase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One recorded inspection; `scan` and `image` are files of the bundle, where the route needs them."""

    name: str
    scan: str | None
    image: str | None
    score: float
    is_defect: bool
    tensors: list[GoldenTensor]


class Golden(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of golden/golden.json; `provider` is what the networks ran on when it was recorded."""

    provider: str
    cases: list[GoldenCase]


def add_golden(bundle_path: Path, scans: Mapping[str, Path], provider: str) -> Manifest:
    """Inspect scans with a calibrated bundle and record them in it, in place of what it held before.

    Args:
        bundle_path: the bundle, rewritten in place.
        scans: scan files by the name of the case.
        provider: what runs the networks.

    Returns:
        The manifest as written.

    Raises:
        ScanError: a scan cannot be read or inspected.
    """
    bundle = open_bundle(bundle_path)
    inspector = Inspector(bundle, provider, graph="networks")
    files: dict[str, Content] = {}
    cases = []
    for name, scan in scans.items():
        with naming_scan(scan):
            part = bounded(read_part(scan, modalities(bundle.manifest), bundle.manifest.preprocessing))
            cases.append(_record(name, part, inspector, files))
    files[INDEX] = msgspec.json.format(msgspec.json.encode(Golden(provider=provider, cases=cases)), indent=2) + b"\n"
    before = [name for name in bundle.manifest.files if name.startswith(f"{FOLDER}/")]
    return rewrite_bundle(bundle, bundle_path, bundle.manifest, files, dropped=before)


def read_golden(bundle: Bundle) -> Golden:
    """The record of a bundle.

    Raises:
        BundleError: there is none, or it cannot be read.
    """
    if INDEX not in bundle.manifest.files:
        raise BundleError(f"{bundle.path}: there are no golden scans in it: run `cmdiad calibrate SCANS` again")
    try:
        return msgspec.json.decode(bundle.read(INDEX), type=Golden)
    except msgspec.MsgspecError as cause:
        raise BundleError(
            f"{bundle.path}: {INDEX} is not a record of golden scans ({cause}): calibrate again"
        ) from cause


def read_case(bundle: Bundle, case: GoldenCase) -> Part:
    """The part that a case inspects.

    Raises:
        BundleError: its files are not what they must be.
    """
    try:
        points = None if case.scan is None else decode_scan(bundle.read(case.scan)).astype(np.float32, copy=False)
        rgb = None if case.image is None else decode_rgb(bundle.read(case.image))
    except ScanError as cause:
        raise BundleError(f"{bundle.path}: the golden scan {case.name}: {cause}: calibrate again") from cause
    return Part(points, rgb)


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
    seen = part.rgb if part.points is None else part.points
    assert seen is not None
    (height, width), step = seen.shape[:2], 1
    while -(-height // step) * -(-width // step) > MAX_PIXELS:
        step += 1
    thinned = (slice(None, None, step), slice(None, None, step))
    return Part(
        points=None if part.points is None else np.ascontiguousarray(part.points[thinned]),
        rgb=None if part.rgb is None else np.ascontiguousarray(part.rgb[thinned]),
    )


def _record(name: str, part: Part, inspector: Inspector, files: dict[str, Content]) -> GoldenCase:
    """Inspect one part, put its files into `files`, and describe it."""
    inspection, tensors = replay(inspector, part)
    scan = image = None
    if part.points is not None:
        scan = f"{FOLDER}/{name}_scan.tiff"
        files[scan] = _encode_points(part.points)
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


def _encode_points(points: Array) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(
        stream, points, photometric="rgb", compression="zlib", predictor=True, metadata=None, software=False
    )
    return stream.getvalue()


def _encode_rgb(rgb: npt.NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "PNG")
    return stream.getvalue()
