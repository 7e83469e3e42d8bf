"""The manifest: everything a bundle says about itself, as typed, strictly read JSON."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from ..errors import BundleError
from ..files.json_encoding import encode_json_file
from .bounds import require_finite, require_positive, require_share
from .health_baseline import HealthBaseline
from .parameters import (
    NEIGHBORHOODS,
    FlavorName,
    Grouping,
    Metric,
    Modality,
    Normalization,
    PartRange,
    Preprocessing,
    RouteName,
    ScoreName,
    Threshold,
)
from .scan_geometry import ScanGeometry
from .sensor_description import UNNAMED, SensorDescription, SensorIdentity

FORMAT_VERSION = 2
"""Since version 2, calibration decides from all scans whether scans are raw, and records how large the part is."""
WITH_CHOICES = 3
"""The version of bundles with a region of interest, all parts of a scan, or a score other than the paper's: older
runtimes do not know these."""
OLDEST_READ, NEWEST_READ = 1, WITH_CHOICES
NAME = "manifest.json"
_ZERO_DIGEST = "0" * 64
MAX_BYTES = 4 << 20


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """A network's input or output; a string in `shape` stands for a free dimension."""

    name: str
    shape: list[int | str]
    dtype: str


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """One ONNX graph of the bundle; `kept_fp32` counts the operators that a lower precision left in float32."""

    file: str
    architecture: str
    parameters: int
    inputs: list[Tensor]
    outputs: list[Tensor]
    precision: str = "fp32"
    kept_fp32: dict[str, int] = {}


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """The smallest, the best and the largest shape of one input that an engine takes."""

    min: list[int]
    opt: list[int]
    max: list[int]


class TensorRTEngine(msgspec.Struct, frozen=True, kw_only=True):
    """One TensorRT engine of the bundle, and all that decides whether it may run; also the file beside the engine.

    Attributes:
        file: the raw plan.
        role: the network it was built from.
        flavor: tensorrt or tensorrt-rtx.
        version: the version of the flavor that built it, and the only one that can run it.
        targets: the compute capabilities it runs on, such as sm86.
        platform: the operating system and processor it runs on, such as linux-x86_64.
        precision: the graph's.
        graph_digest: SHA-256 of the ONNX file it was built from.
        profiles: by input.
        workspace_bytes: the limit it was built with; None: the flavor's own.
        tf32: whether fp32 products may be rounded to TF32.
        stripped: whether its weights were left out, to be taken from the graph when it is loaded.
        cuda_driver: the CUDA version of the driver it was built with; 0 if it was built without a GPU.
        log: the file with the builder's log.
    """

    file: str
    role: str
    flavor: FlavorName
    version: str
    targets: list[str]
    platform: str
    precision: str
    graph_digest: str
    profiles: dict[str, Profile]
    workspace_bytes: int | None
    tf32: bool
    stripped: bool
    cuda_driver: int
    log: str


class Bank(msgspec.Struct, frozen=True, kw_only=True):
    """One memory bank: its files and the normalization of the features in it."""

    files: dict[str, str]
    n_rows: int
    dim: int
    metric: Metric
    feature_mean: float
    feature_std: float

    def __post_init__(self) -> None:
        """Refuse numbers that no bank can have; see `bounds`."""
        require_finite(self, "feature_mean")
        require_positive(self, "n_rows", "dim", "feature_std")


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """Mean and standard deviation over all values of one modality's real features on the training scans.

    Every patch counts; those without points count with features of zero, as in the published implementation.
    """

    mean: float
    std: float

    def __post_init__(self) -> None:
        """Refuse numbers that cannot normalize; see `bounds`."""
        require_finite(self, "mean")
        require_positive(self, "std")


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """What `cmdiad calibrate` learned from normal scans, besides the banks, and with which settings.

    Attributes:
        normalization: paper: every bank has its own features' statistics. reference: both banks have the mean of
            the points' training features and the standard deviation of the image's, as in the published code.
        projection_eps: of the sparse random projection in which the coreset was selected.
        n_neighbors: how many neighbors re-weight the image score.
        nu: of the one-class SVMs.
        svm_iterations: passes of their descent.
        score: how a part's score is computed from its patches' distances; the paper's before format version 3.
        neighborhood: side of the square of patches over which features are averaged before they are compared.
        part: how large the part was in these scans, and how much of it was seen; None before format version 2.
        health: measures of sensor, table, parts and scores in these scans; None in bundles that predate them.
    """

    n_scans: int
    data_digest: str
    seed: int
    coreset_ratio: float
    normalization: Normalization = "paper"
    projection_eps: float = 0.9
    n_neighbors: int = 2
    nu: float = 0.5
    svm_iterations: int = 1000
    score: ScoreName = "paper"
    neighborhood: int = 1
    threshold: Threshold
    pixel_threshold: Threshold
    part: PartRange | None = None
    health: HealthBaseline | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that no calibration can have; see `bounds`."""
        require_positive(self, "n_scans", "n_neighbors", "svm_iterations")
        require_share(self, "coreset_ratio", "projection_eps", "nu")
        if self.neighborhood not in NEIGHBORHOODS:
            raise ValueError(f"neighborhood is {self.neighborhood}: must be one of {NEIGHBORHOODS}")


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The bundle's own description; `digest` covers every other byte of the file.

    `engine_networks` are the graphs that engines are built from, if these are not the `networks` themselves: bf16, and
    int8 with explicit quantization, which ONNX Runtime's CPU provider does not run, or runs more slowly.
    `cpu_networks` are what that provider runs instead: int8 in its own operators.
    """

    digest: str = _ZERO_DIGEST
    format_version: int = FORMAT_VERSION
    product: str
    route: RouteName
    main: Modality
    precision: str
    sensor: SensorIdentity = UNNAMED
    preprocessing: Preprocessing
    grouping: Grouping
    networks: dict[str, Network]
    engine_networks: dict[str, Network] = {}
    cpu_networks: dict[str, Network] = {}
    training_statistics: dict[Modality, Statistics] = {}
    banks: dict[str, Bank] = {}
    engines: list[TensorRTEngine] = []
    line_graph: Network | None = None
    calibration: Calibration | None = None
    metrics: dict[str, float] = {}
    provenance: dict[str, str] = {}
    files: dict[str, str] = {}

    @property
    def geometry(self) -> ScanGeometry:
        """How the scan files' numbers become organized clouds; it is set in `preprocessing`."""
        return self.preprocessing.geometry

    @property
    def description(self) -> SensorDescription:
        """The sensor: which one it is, how its files are read, and how its scans are prepared."""
        return SensorDescription(identity=self.sensor, preprocessing=self.preprocessing)

    @property
    def part_range(self) -> PartRange | None:
        """What calibration saw of its parts; None before calibration, and before format version 2."""
        return None if self.calibration is None else self.calibration.part

    def built_networks(self) -> dict[str, Network]:
        """The graphs that engines are built from, by role."""
        return {**self.networks, **self.engine_networks}

    def run_networks(self, provider: str) -> dict[str, Network]:
        """The graphs that an execution provider of ONNX Runtime runs, by role."""
        return {**self.networks, **self.cpu_networks} if provider == "cpu" else self.networks

    def bank_files(self) -> list[str]:
        """The files of all memory banks."""
        return [file for bank in self.banks.values() for file in bank.files.values()]


def encode(manifest: Manifest) -> bytes:
    """The manifest file's bytes, with the digest filled in; equal manifests give equal bytes."""
    made, calibration = manifest.preprocessing, manifest.calibration
    has_choices = made.roi is not None or made.parts != "largest"
    has_choices |= calibration is not None and (calibration.score, calibration.neighborhood) != ("paper", 1)
    version = max(manifest.format_version, WITH_CHOICES) if has_choices else manifest.format_version
    blank = msgspec.structs.replace(manifest, digest=_ZERO_DIGEST, format_version=version)
    text = encode_json_file(blank, order="sorted")
    digest = hashlib.sha256(text).hexdigest()
    return text.replace(_ZERO_DIGEST.encode(), digest.encode(), 1)


def decode(raw: bytes, where: str) -> Manifest:
    """Read a manifest and check its digest and version.

    Raises:
        BundleError: the bytes were changed, are not a manifest, or are of a format version that is not read here.
    """
    if len(raw) > MAX_BYTES:
        raise BundleError(
            f"{where}: {NAME} has more than {MAX_BYTES} bytes, too many for a manifest: get the bundle again"
        )
    try:
        head = msgspec.json.decode(raw, type=_Head)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as cause:
        raise BundleError(f"{where}: {NAME} is not a manifest ({cause}): get the bundle again") from cause
    _require_readable(head.format_version, where)
    blank = raw.replace(head.digest.encode(), _ZERO_DIGEST.encode(), 1)
    if hashlib.sha256(blank).hexdigest() != head.digest:
        raise BundleError(f"{where}: {NAME} was changed after it was written: get the bundle again")
    try:
        msgspec.json.decode(raw, type=_Sized)
        return msgspec.json.decode(raw, type=Manifest)
    # UnicodeDecodeError: the first look skips over what the second reads.
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as cause:
        raise BundleError(
            f"{where}: {NAME} contains what this version of cmdiad cannot read ({cause}): export it again"
        ) from cause


def _require_readable(version: int, where: str) -> None:
    if version > NEWEST_READ:
        age, todo = "newer", "update cmdiad on this machine"
    elif version < OLDEST_READ:
        age, todo = "older", "export and calibrate it again"
    else:
        return
    read = f"{OLDEST_READ} to {NEWEST_READ}"
    raise BundleError(f"{where}: {NAME} has format version {version}, {age} than those read here ({read}): {todo}")


class _Head(msgspec.Struct):
    format_version: int
    digest: str


class _Size(msgspec.Struct):
    """Preprocessing once had a size, but only this one ever worked."""

    size: Literal[224] = 224


class _Sized(msgspec.Struct):
    preprocessing: _Size
