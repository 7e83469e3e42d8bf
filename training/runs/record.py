"""A training run on disk: what was trained, on what, with which extractors, and the weights."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from ...runtime.bundle.manifest import Statistics
from ...runtime.bundle.parameters import Grouping, Modality, Plane, Preprocessing, TrainedRouteName
from ...runtime.bundle.sensor_description import UNNAMED, SensorIdentity
from ...runtime.errors import UsageError
from ...runtime.files.atomic import atomic_write_bytes
from ...runtime.files.json_encoding import decode_own_json, encode_own_json

RUNS = Path("runs")
LATEST = "latest"
CONFIG = "run.json"


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which checkpoint became the run's weights.

    Attributes:
        criterion: what it was chosen by, in words.
        epochs: the epoch chosen for each main modality; empty where it is the last.
        detection: what it was judged to be, by main modality.
    """

    criterion: str
    epochs: dict[Modality, int] = {}
    detection: dict[Modality, float] = {}


class Decisions(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided from the scans, of what the settings leave open.

    Attributes:
        plane: "always": they were taken as raw; "never": as preprocessed before.
        reason: why, one sentence.
        windows: the side of the part's window by class, pixels; empty where the whole scan is seen.
        warnings: what speaks against it, one sentence each.
    """

    plane: Plane
    reason: str
    windows: dict[str, int] = {}
    warnings: list[str] = []


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """The settings and provenance of one training run.

    The extractors are recorded by name, by where their weights came from (a file, `random:SEED`, or None for the
    embedded ones), and by the digest of the weights: export re-opens exactly these.

    `data` is where the dataset's root was, for the scans of export's parity gate.
    `preprocessing` is what was asked for, `decisions` what that became with these scans; None where nobody knows.
    `learning_rate` is the rate after the warm-up, `final_learning_rate` that of the last epoch: of a training that
    ends within the warm-up it is smaller. None where nobody knows.
    `main` is the modality that F2I or I2F hallucinates from; F2F is trained in both directions whatever it says.
    `adopted` names the published checkpoint of a run that was not trained here, whose training figures are zero.
    """

    route: TrainedRouteName
    main: Modality
    point_extractor: str
    image_extractor: str
    point_checkpoint: str | None = None
    image_checkpoint: str | None = None
    point_digest: str
    image_digest: str
    grouping: Grouping
    sensor: SensorIdentity = UNNAMED
    preprocessing: Preprocessing
    data: str = ""
    classes: list[str]
    n_scans: int
    data_digest: str
    seed: int
    epochs: int
    batch_size: int
    learning_rate: float
    final_learning_rate: float | None = None
    loss: str
    final_loss: float
    selection: Selection
    decisions: Decisions | None = None
    training_statistics: dict[Modality, Statistics] = {}
    adopted: str | None = None
    versions: dict[str, str]


def write_run(folder: Path, run: Run) -> None:
    """Write a run's settings, the last file of a run: a folder without it is not finished."""
    atomic_write_bytes(folder / CONFIG, encode_own_json(run, indent=2))


def read_run(path: Path) -> tuple[Path, Run]:
    """A run's folder (`latest` followed) and its settings.

    Raises:
        UsageError: there is no finished run, or it cannot be read.
    """
    try:
        folder = resolve_run(path)
        raw = (folder / CONFIG).read_bytes()
    except PermissionError as cause:
        reason = f"{cause.strerror}: give this user permission to read it"
        raise UsageError(f"{path}: the run cannot be read: {reason}") from cause
    except OSError as cause:
        raise UsageError(f"{path}: no finished training run is here: run `cmdiad train DATA` first") from cause
    try:
        return folder, decode_own_json(raw, Run)
    except msgspec.MsgspecError as cause:
        raise UsageError(f"{folder / CONFIG}: not a run of this version ({cause}): train again") from cause


def weights_file(route: TrainedRouteName) -> str:
    """The name of a run's weights."""
    return f"{route}.safetensors"


def resolve_run(path: Path) -> Path:
    """Follow `latest`, which is a link where the file system has them and else a file with the folder's name."""
    if path.is_file():
        return path.parent / os.fsdecode(path.read_bytes().strip())
    return path


def lies_in_runs(folder: Path) -> bool:
    """Whether a run lies where runs lie by default: only there they share a feature cache, and one is the latest."""
    return folder.resolve().parent == RUNS.resolve()


def mark_latest(folder: Path) -> None:
    """Make `runs/latest` lead to a run in `runs/`; a run in a place of the user's own has nothing put beside it."""
    if not lies_in_runs(folder):
        return
    latest = folder.parent / LATEST
    if latest.is_symlink() or latest.is_file():
        latest.unlink()
    if latest.exists():
        return
    try:
        latest.symlink_to(folder.name, target_is_directory=True)
    except OSError:
        latest.write_bytes(os.fsencode(folder.name) + b"\n")
