"""Training a distillation route: data, cached features, the loop, the checkpoint to ship, and a run folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from warnings import warn

import msgspec
import torch

from ..runtime.bundle.parameters import STRUCTURED_LIGHT, Modality, Preprocessing
from ..runtime.errors import UsageError
from ..runtime.files.atomic import atomic_write_bytes, remove_abandoned_parts
from ..runtime.files.json_encoding import encode_json_file
from ..runtime.preparation.settling import settle_scans
from ..runtime.sensor.dataset import GOOD, data_digest, find_classes, find_samples
from .choices import DeviceName, Distillation, Loss
from .device import open_device
from .extractors.opening import Extractor, open_extractor
from .features.paired_features import PairedFeatures, Wanted, cache_paired_features
from .fitting import FitSettings, fit, select_epochs, selected_weights
from .routes.distillation import DEFAULT, distillation
from .runs.curves import CHART, LOG, TENSORBOARD, encode_chart, encode_log, require_tensorboard, tensorboard_log
from .runs.run import CONFIG, RUNS, Run, Selection, lies_in_runs, mark_latest, weights_file, write_run
from .runs.state import STATE, Epoch, save_weights
from .selection import Judge, find_validation

CLAIM = "training.json"
CACHE = "feature_cache"

Progress = Callable[[str, int, int, str], None]


@dataclass(frozen=True)
class TrainingSettings:
    """What a user chooses; defaults are the paper's (section 4.2).

    Attributes:
        route: f2f, f2i or i2f.
        main: the modality that F2I or I2F hallucinates from; F2F learns both directions.
        learning_rate: None: 5e-4, for I2F 3e-4.
        select: whether to ship the checkpoint of the best detection on validation parts, or else the last.
        device: auto, cpu or cuda.
        threads: of the CPU; None: the processors this process may use.
        amp: bfloat16 where it is safe, on a GPU.
        tensorboard: whether to write event files.
    """

    route: Distillation = DEFAULT
    main: Modality = "pc"
    point_extractor: str = "embedded"
    image_extractor: str = "embedded"
    point_checkpoint: str | None = None
    image_checkpoint: str | None = None
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


def train_route(
    data: Path,
    class_names: list[str],
    settings: TrainingSettings,
    out: Path | None,
    progress: Progress,
    cache: Path | None = None,
) -> Path:
    """Train on the normal scans of a dataset and write a run folder.

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

    Returns:
        The run folder.

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
    classes = find_classes(data, class_names)
    samples = [sample for each in classes for sample in find_samples(each, "train", GOOD)]
    point = open_extractor(settings.point_extractor, "pc", settings.point_checkpoint)
    image = open_extractor(settings.image_extractor, "rgb", settings.image_checkpoint)
    digest = data_digest(file for sample in samples for file in (sample.scan, sample.rgb) if file is not None)
    _claim(folder, settings, [digest, point.digest, image.digest])
    progress("run", 1, 1, str(folder))
    store = cache or (folder.parent if lies_in_runs(folder) else folder) / CACHE
    for place in (folder, store):
        remove_abandoned_parts(place)
    preprocessing = _decided(settings.preprocessing, [sample.scan for sample in samples], progress)

    def cached(wanted: Sequence[Wanted], stage: str) -> PairedFeatures:
        return cache_paired_features(
            wanted,
            point,
            image,
            preprocessing,
            store,
            lambda done, total: progress(stage, done, total, ""),
            device,
        )

    features = cached([Wanted(sample) for sample in samples], "features")
    judges, criterion = _judges(classes, settings, point, image, cached, device)
    log = _fit(features, settings, judges, folder, device, progress)
    found = _Found(data, point, image, [each.resolve().name for each in classes], len(samples), digest)
    _finish(folder, settings, found, log, criterion, features)
    return folder


def _decided(asked: Preprocessing, scans: Sequence[Path], progress: Progress) -> Preprocessing:
    """Whether the dataset's scans are raw, decided once."""
    settled = settle_scans(asked, scans, lambda done, total: progress("raw or preprocessed", done, total, ""))
    for warning in settled.warnings:
        warn(warning, stacklevel=3)
    return settled.preprocessing


@dataclass(frozen=True)
class _Found:
    """What a training worked on, for its record."""

    data: Path
    point: Extractor
    image: Extractor
    classes: list[str]
    n_scans: int
    data_digest: str


def _finish(
    folder: Path,
    settings: TrainingSettings,
    found: _Found,
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
    assert found.point.grouping is not None
    run = Run(
        route=settings.route,
        main=settings.main,
        point_extractor=found.point.name,
        image_extractor=found.image.name,
        point_checkpoint=found.point.checkpoint,
        image_checkpoint=found.image.checkpoint,
        point_digest=found.point.digest,
        image_digest=found.image.digest,
        grouping=found.point.grouping,
        preprocessing=settings.preprocessing,
        data=str(found.data.resolve()),
        classes=found.classes,
        n_scans=found.n_scans,
        data_digest=found.data_digest,
        seed=settings.seed,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.rate,
        loss=settings.loss,
        final_loss=log[-1].loss,
        selection=Selection(
            criterion=criterion,
            epochs=chosen,
            detection={main: log[epoch - 1].detection[main] for main, epoch in chosen.items()},
        ),
        training_statistics=features.statistics(),
        versions={name: version(name) for name in ("torch", "timm", "numpy")},
    )
    write_run(folder, run)
    mark_latest(folder)
    (folder / STATE).unlink(missing_ok=True)


def _claim(folder: Path, settings: TrainingSettings, digests: list[str]) -> None:
    """Make the folder this training's, unless it is another's or the training is finished.

    Raises:
        UsageError: it is.
    """
    wanted = msgspec.structs.asdict(msgspec.convert(settings, _Claimed, from_attributes=True))
    claim = encode_json_file([wanted, digests])
    file = folder / CLAIM
    if folder.exists() and any(folder.iterdir()):
        if not file.exists() or file.read_bytes() != claim:
            raise UsageError(f"{folder}: is not empty, and not this training begun before: choose another --out")
        if (folder / CONFIG).exists() and not (folder / STATE).exists():
            raise UsageError(f"{folder}: is not empty, the training in it is finished: choose another --out")
    atomic_write_bytes(file, claim)


class _Claimed(msgspec.Struct):
    """The settings that the weights depend on."""

    route: Distillation
    main: Modality
    point_extractor: str
    image_extractor: str
    preprocessing: Preprocessing
    loss: Loss
    epochs: int
    batch_size: int
    rate: float
    seed: int
    select: bool
    amp: bool


def _judges(
    classes: Sequence[Path],
    settings: TrainingSettings,
    point: Extractor,
    image: Extractor,
    cached: Callable[[Sequence[Wanted], str], PairedFeatures],
    device: torch.device,
) -> tuple[dict[Modality, Judge], str]:
    """A judge for every main modality the route serves, and what it judges by, in words."""
    if not settings.select:
        return {}, "last epoch: selection was turned off"
    found = [parts for parts in map(find_validation, classes) if parts is not None]
    if not found:
        return {}, "last epoch: the data has no validation parts"
    judged = [(parts, cached(parts.wanted, "validation")) for parts in found]
    mains = distillation(settings.route).mains(settings.main)
    judges = {main: Judge(judged, settings.route, main, point, image, device) for main in mains}
    kinds = {"painted defects" if parts.pseudo else "the split's own defects" for parts in found}
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
