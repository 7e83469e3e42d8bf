"""Training a distillation route: data, cached features, the loop, the checkpoint to ship, and a run folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from warnings import warn

import torch

from ..runtime.bundle.manifest import Statistics
from ..runtime.bundle.parameters import STRUCTURED_LIGHT, Modality, Preprocessing, TrainedRouteName
from ..runtime.bundle.sensor_description import UNNAMED, SensorIdentity
from ..runtime.errors import UsageError
from ..runtime.files.atomic import atomic_write_bytes, remove_abandoned_parts
from ..runtime.files.atomic_folder import holds_something
from ..runtime.files.json_encoding import encode_json_file
from ..runtime.preparation.part_samples import split_samples
from ..runtime.preparation.raw_or_preprocessed import Settled
from ..runtime.preparation.settling import settle_scans
from ..runtime.preparation.window_size import decide_window
from ..runtime.progress import Progress
from ..runtime.sensor.dataset import GOOD, Sample, class_name, file_digests, find_classes, find_samples, joint_digest
from ..runtime.sensor.file_copies import copies_among
from ..runtime.sensor.part import BOTH
from .choices import DeviceName, Loss
from .extractors.by_name import Extractor, open_extractor
from .features.paired_features import PairedFeatures, Wanted, cache_paired_features
from .fitting import FitSettings, fit, select_epochs, selected_weights
from .routes.distillation import DEFAULT, distillation
from .runs.curves import CHART, LOG, TENSORBOARD, encode_chart, encode_log, require_tensorboard, tensorboard_log
from .runs.record import CONFIG, RUNS, Decisions, Run, Selection, lies_in_runs, mark_latest, weights_file, write_run
from .runs.state import STATE, Epoch, save_weights
from .selection import Judge, find_validation, validation_doubts
from .torch_device import open_device

CLAIM = "training.json"
CACHE = "feature_cache"
# The settings that the weights depend on.
_CLAIMED = (
    "route", "main", "point_extractor", "image_extractor", "preprocessing", "loss", "epochs", "batch_size", "rate",
    "seed", "select", "amp",
)  # fmt: skip


@dataclass(frozen=True)
class TrainingSettings:
    """What a user chooses; defaults are the paper's (section 4.2).

    Attributes:
        route: what to learn.
        main: the modality that it hallucinates from; of no matter where it learns both directions.
        sensor: whose scans they are.
        preprocessing: how they are read and prepared.
        learning_rate: None: the route's own.
        select: whether to ship the checkpoint of the best detection on validation parts, or else the last.
        device: auto, cpu or cuda.
        threads: of the CPU; None: the processors this process may use.
        amp: On a GPU, use bfloat16 where it is safe.
        tensorboard: whether to write event files.

    Example:
        >>> TrainingSettings(route="i2f").rate
        0.0003
    """

    route: TrainedRouteName = DEFAULT
    main: Modality = "pc"
    point_extractor: str = "embedded"
    image_extractor: str = "embedded"
    point_checkpoint: str | None = None
    image_checkpoint: str | None = None
    sensor: SensorIdentity = UNNAMED
    preprocessing: Preprocessing = STRUCTURED_LIGHT
    loss: Loss = "l2"
    epochs: int = 100
    batch_size: int = 32
    learning_rate: float | None = None
    seed: int = 0
    select: bool = True
    device: DeviceName = "auto"
    threads: int | None = None
    amp: bool = False
    tensorboard: bool = False

    @property
    def rate(self) -> float:
        """The learning rate after the warm-up."""
        return distillation(self.route).learning_rate if self.learning_rate is None else self.learning_rate


@dataclass(frozen=True)
class _Material:
    """What a training works on.

    Attributes:
        data: the dataset's root.
        classes: the folders of its classes.
        samples: their normal training parts.
        data_digest: of these parts' files.
        point, image: the extractors.
    """

    data: Path
    classes: list[Path]
    samples: list[Sample]
    data_digest: str
    point: Extractor
    image: Extractor


def train_route(
    data: Path,
    class_names: list[str],
    settings: TrainingSettings,
    out: Path | None,
    progress: Progress,
    cache: Path | None = None,
) -> Path:
    """Train on the normal scans of a dataset and write a run folder, whose path is returned.

    A run that was killed goes on when it is started again with the same data, settings and folder, and ends with
    the weights of one that was not.

    Args:
        data: a dataset root in the MVTec 3D-AD layout.
        class_names: which classes; empty: all.
        settings: see `TrainingSettings`.
        out: the run folder; None: `runs/DATE-TIME-ROUTE`, to which `runs/latest` then leads.
        progress: called with (stage, done, all, remark).
        cache: folder of the extractors' features, which runs on the same data may share; None: `runs/feature_cache`
            for a run in `runs/`, else one in the run folder.

    Raises:
        UsageError: the dataset is not as described, `out` holds something else, the settings make no sense, or
            TensorBoard is asked for and not installed.
        WeightsError: an extractor's weights are missing or not its own.
        EngineError: there is no GPU and one was asked for.
        ScanError: a scan or image cannot be read.
    """
    distillation(settings.route).check_loss(settings.loss)
    if settings.tensorboard:
        require_tensorboard()
    device = open_device(settings.device, settings.threads)
    folder = out or RUNS / time.strftime(f"%Y%m%d-%H%M%S-{settings.route}")
    material = _open_material(data, class_names, settings)
    _claim(folder, settings, [material.data_digest, material.point.digest, material.image.digest])
    progress("the run is written to", 0, 0, str(folder))
    cache = cache or (folder.parent if lies_in_runs(folder) else folder) / CACHE
    _train(folder, settings, material, cache, device, progress)
    return folder


def _open_material(data: Path, class_names: list[str], settings: TrainingSettings) -> _Material:
    classes = find_classes(data, class_names)
    samples = [sample for folder in classes for sample in find_samples(folder, "train", GOOD)]
    point = open_extractor(settings.point_extractor, "pc", settings.point_checkpoint)
    image = open_extractor(settings.image_extractor, "rgb", settings.image_checkpoint)
    files = [file for sample in samples for file in (sample.scan, sample.rgb) if file is not None]
    digests = dict(zip(files, file_digests(files), strict=True))
    scans = [sample.scan for sample in samples]
    for sentence in copies_among(scans, [digests[scan] for scan in scans]):
        warn(f"{sentence}: the training sees that part twice as often as the others", stacklevel=4)
    for folder in classes if settings.select else []:
        for sentence in validation_doubts(folder):
            warn(f"{class_name(folder)}: {sentence}", stacklevel=4)
    return _Material(data, classes, samples, joint_digest(digests.values()), point, image)


def _train(
    folder: Path,
    settings: TrainingSettings,
    material: _Material,
    cache: Path,
    device: torch.device,
    progress: Progress,
) -> None:
    """Cache the features, fit the network on them, and write the run; the folder is this training's."""
    for place in (folder, cache):
        remove_abandoned_parts(place)
    prepared = _prepared(settings.preprocessing, material, progress)
    preprocessing = prepared.of_sample

    def cached(wanted: Sequence[Wanted], stage: str) -> PairedFeatures:
        def report(done: int, total: int) -> None:
            progress(stage, done, total, "")

        return cache_paired_features(wanted, material.point, material.image, preprocessing, cache, report, device)

    def split(samples: Sequence[Sample]) -> list[Sample]:
        return [part for sample in samples for part in split_samples([sample], BOTH, preprocessing(sample))]

    features = cached([Wanted(sample) for sample in split(material.samples)], "features")
    judges, criterion = _judges(material, settings, cached, split, device)
    log = _fit(features, settings, judges, folder, device, progress)
    _finish(folder, settings, material, prepared, log, criterion, features)


@dataclass(frozen=True)
class _Prepared:
    """How the dataset's scans are prepared.

    Attributes:
        settled: whether they are raw, and why.
        windows: the same with the part's window, for each class folder.
    """

    settled: Settled
    windows: dict[Path, Preprocessing]

    def of_sample(self, sample: Sample) -> Preprocessing:
        """How a sample's scan is prepared."""
        scan = sample.scan.resolve()
        own = (own for folder, own in self.windows.items() if scan.is_relative_to(folder))
        return next(own, self.settled.preprocessing)

    def decisions(self) -> Decisions:
        """As the run's record holds them."""
        pixels = {folder.name: own.window_pixels for folder, own in self.windows.items()}
        return Decisions(
            plane=self.settled.preprocessing.plane,
            reason=self.settled.reason,
            windows={name: side for name, side in pixels.items() if side is not None},
            warnings=list(self.settled.warnings),
        )


def _prepared(asked: Preprocessing, material: _Material, progress: Progress) -> _Prepared:
    """Whether the dataset's scans are raw, decided once, and how large the part's window is, for each class."""
    scans = [sample.scan for sample in material.samples]
    settled = settle_scans(asked, scans, lambda done, total: progress("raw or preprocessed", done, total, ""))
    for warning in settled.warnings:
        warn(warning, stacklevel=4)
    windows = {folder.resolve(): settled.preprocessing for folder in material.classes}
    for folder in windows:
        own = [scan for scan in scans if scan.resolve().is_relative_to(folder)]

        def report(done: int, total: int, name: str = folder.name) -> None:
            progress(f"window of {name}", done, total, "")

        windows[folder] = decide_window(settled.preprocessing, own, BOTH, progress=report)
    return _Prepared(settled, windows)


def _finish(
    folder: Path,
    settings: TrainingSettings,
    material: _Material,
    prepared: _Prepared,
    log: list[Epoch],
    criterion: str,
    features: PairedFeatures,
) -> None:
    """Write the weights to ship and the record of the run, which makes it a finished one."""
    chosen = select_epochs(log)
    weights = selected_weights(folder, settings.route, settings.main, chosen, settings.epochs)
    save_weights(folder / weights_file(settings.route), weights)
    atomic_write_bytes(folder / LOG, encode_log(log))
    atomic_write_bytes(folder / CHART, encode_chart(log))
    detection = {main: log[epoch - 1].detection[main] for main, epoch in chosen.items()}
    selection = Selection(criterion=criterion, epochs=chosen, detection=detection)
    write_run(folder, _record(settings, material, prepared.decisions(), selection, log[-1], features.statistics()))
    mark_latest(folder)
    (folder / STATE).unlink(missing_ok=True)


def _record(
    settings: TrainingSettings,
    material: _Material,
    decisions: Decisions,
    selection: Selection,
    last: Epoch,
    statistics: dict[Modality, Statistics],
) -> Run:
    assert material.point.grouping is not None
    return Run(
        route=settings.route,
        main=settings.main,
        point_extractor=material.point.name,
        image_extractor=material.image.name,
        point_checkpoint=material.point.checkpoint,
        image_checkpoint=material.image.checkpoint,
        point_digest=material.point.digest,
        image_digest=material.image.digest,
        grouping=material.point.grouping,
        sensor=settings.sensor,
        preprocessing=settings.preprocessing,
        data=str(material.data.resolve()),
        classes=[class_name(folder) for folder in material.classes],
        n_scans=len(material.samples),
        data_digest=material.data_digest,
        seed=settings.seed,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.rate,
        loss=settings.loss,
        final_learning_rate=last.learning_rate,
        final_loss=last.loss,
        decisions=decisions,
        selection=selection,
        training_statistics=statistics,
        versions={name: version(name) for name in ("torch", "timm", "numpy")},
    )


def _claim(folder: Path, settings: TrainingSettings, digests: list[str]) -> None:
    """Make the folder this training's, unless it is another's or the training is finished.

    Raises:
        UsageError: it is.
    """
    claim = encode_json_file([{name: getattr(settings, name) for name in _CLAIMED}, digests])
    file = folder / CLAIM
    if holds_something(folder):
        if not file.exists() or file.read_bytes() != claim:
            raise UsageError(f"{folder}: is not empty, and not this training begun before: choose another --out")
        if (folder / CONFIG).exists() and not (folder / STATE).exists():
            raise UsageError(f"{folder}: is not empty, the training in it is finished: choose another --out")
    atomic_write_bytes(file, claim)


def _judges(
    material: _Material,
    settings: TrainingSettings,
    cached: Callable[[Sequence[Wanted], str], PairedFeatures],
    split: Callable[[Sequence[Sample]], list[Sample]],
    device: torch.device,
) -> tuple[dict[Modality, Judge], str]:
    """A judge for every main modality the route serves, and what it judges by, in words."""
    if not settings.select:
        return {}, "last epoch: selection was turned off"
    of_classes = [find_validation(folder, split) for folder in material.classes]
    validation = [parts for parts in of_classes if parts is not None]
    if not validation:
        return {}, "last epoch: the data has no validation parts"
    judged = [(parts, cached(parts.wanted, "validation")) for parts in validation]
    mains = distillation(settings.route).mains(settings.main)
    judges = {main: Judge(judged, settings.route, main, material.point, material.image, device) for main in mains}
    kinds = {"painted defects" if parts.pseudo else "the split's own defects" for parts in validation}
    return judges, f"mean of image and patch AUROC on validation parts, good against {' and '.join(sorted(kinds))}"


def _fit(
    features: PairedFeatures,
    settings: TrainingSettings,
    judges: dict[Modality, Judge],
    folder: Path,
    device: torch.device,
    progress: Progress,
) -> list[Epoch]:
    fitting = FitSettings(
        route=settings.route,
        main=settings.main,
        loss=settings.loss,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.rate,
        seed=settings.seed,
        amp=settings.amp,
    )
    with tensorboard_log(folder / TENSORBOARD if settings.tensorboard else None) as write:

        def report(epoch: Epoch) -> None:
            judged = "".join(f", detection {main} {value:.3f}" for main, value in epoch.detection.items())
            progress("distillation", epoch.epoch, settings.epochs, f"loss {epoch.loss:.4g}{judged}")
            write(epoch)

        return fit(features, fitting, judges, folder, device, report)
