"""The training loop of F2F: frozen extractors, one network for all classes, both directions together."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save as encode_safetensors
from torch import Tensor

from ..runtime.atomic import atomic_write_bytes
from ..runtime.dataset import GOOD, Sample, data_digest, find_classes, find_samples
from ..runtime.errors import UsageError
from ..runtime.preprocessing import STRUCTURED_LIGHT, Preprocessing
from .extractors.opening import open_extractor
from .f2f import FeatureToFeature, distillation_loss
from .paired_features import PairedFeatures, cache_paired_features
from .run import RUNS, Run, mark_latest, weights_file, write_run

WARMUP_EPOCHS = 10
LOG = "training.csv"

Progress = Callable[[str, int, int, str], None]


@dataclass(frozen=True)
class TrainingSettings:
    """What a user chooses; defaults are the paper's (section 4.2)."""

    point_extractor: str = "embedded"
    image_extractor: str = "embedded"
    point_checkpoint: str | None = None
    image_checkpoint: str | None = None
    preprocessing: Preprocessing = STRUCTURED_LIGHT
    epochs: int = 100
    batch_size: int = 32
    learning_rate: float = 5e-4
    seed: int = 0


def train_f2f(
    data: Path,
    class_names: list[str],
    settings: TrainingSettings,
    out: Path | None,
    progress: Progress,
) -> Path:
    """Train on the normal scans of a dataset and write a run folder.

    Args:
        data: a dataset root in the MVTec 3D-AD layout.
        class_names: which classes; empty: all.
        settings: see `TrainingSettings`.
        out: the run folder; None: `runs/DATE-TIME-f2f`, to which `runs/latest` then leads.
        progress: called with (stage, done, all, remark).

    Returns:
        The run folder.

    Raises:
        UsageError: the dataset is not as described, or `out` is not empty.
        WeightsError: an extractor's weights are missing or not its own.
        ScanError: a scan or image cannot be read.
    """
    folder = out or RUNS / time.strftime("%Y%m%d-%H%M%S-f2f")
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder}: is not empty: choose another --out")
    classes = find_classes(data, class_names)
    samples = [sample for each in classes for sample in find_samples(each, "train", GOOD)]
    point = open_extractor(settings.point_extractor, "pc", settings.point_checkpoint)
    image = open_extractor(settings.image_extractor, "rgb", settings.image_checkpoint)
    features = cache_paired_features(
        samples,
        point,
        image,
        settings.preprocessing,
        folder.parent / "feature_cache",
        lambda done, total: progress("features", done, total, ""),
    )
    network, log = fit(features, settings, progress)
    atomic_write_bytes(folder / weights_file("f2f"), _encode_weights(network))
    atomic_write_bytes(folder / LOG, _encode_log(log))
    assert point.grouping is not None
    write_run(
        folder,
        Run(
            route="f2f",
            main="pc",
            point_extractor=point.name,
            image_extractor=image.name,
            point_checkpoint=point.checkpoint,
            image_checkpoint=image.checkpoint,
            point_digest=point.digest,
            image_digest=image.digest,
            grouping=point.grouping,
            preprocessing=settings.preprocessing,
            classes=[each.resolve().name for each in classes],
            n_scans=len(samples),
            data_digest=data_digest(_files(samples)),
            seed=settings.seed,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            final_loss=log[-1][1],
            versions={name: version(name) for name in ("torch", "timm", "numpy")},
        ),
    )
    mark_latest(folder)
    return folder


def fit(
    features: PairedFeatures, settings: TrainingSettings, progress: Progress
) -> tuple[FeatureToFeature, list[tuple[float, float]]]:
    """Adam with a linear warm-up of 10 epochs, then a constant rate.

    Returns:
        The network, and per epoch the learning rate and the mean loss of a sample (both directions).
    """
    torch.manual_seed(settings.seed)
    network = FeatureToFeature(*features.dims())
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    order = np.random.default_rng(settings.seed)
    log: list[tuple[float, float]] = []
    for epoch in range(settings.epochs):
        rate = settings.learning_rate * min(1.0, (epoch + 1) / WARMUP_EPOCHS)
        for group in optimizer.param_groups:
            group["lr"] = rate
        total = 0.0
        for pc, rgb, n_samples in _batches(features, settings.batch_size, order):
            loss = distillation_loss(network.hallucinate_rgb(pc), rgb, n_samples)
            loss = loss + distillation_loss(network.hallucinate_pc(rgb), pc, n_samples)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item() * n_samples
        log.append((rate, total / len(features.files)))
        progress("distillation", epoch + 1, settings.epochs, f"loss {log[-1][1]:.4g}")
    return network.eval(), log


def _batches(
    features: PairedFeatures, batch_size: int, order: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor, int]]:
    """The patches of `batch_size` samples at a time, in a new order every epoch."""
    shuffled = order.permutation(len(features.files))
    for begin in range(0, len(shuffled), batch_size):
        chosen = shuffled[begin : begin + batch_size]
        pairs = [features.load(int(index)) for index in chosen]
        pc = np.concatenate([pair[0] for pair in pairs])
        rgb = np.concatenate([pair[1] for pair in pairs])
        yield torch.from_numpy(pc), torch.from_numpy(rgb), len(chosen)


def _encode_weights(network: FeatureToFeature) -> bytes:
    return encode_safetensors({name: value.contiguous() for name, value in network.state_dict().items()})


def _encode_log(log: list[tuple[float, float]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", "learning_rate", "loss"])
    writer.writerows([epoch, f"{rate:.8g}", f"{loss:.8g}"] for epoch, (rate, loss) in enumerate(log, 1))
    return text.getvalue().encode()


def _files(samples: list[Sample]) -> list[Path]:
    return [file for sample in samples for file in (sample.scan, sample.rgb) if file is not None]
