"""The training loop: frozen extractors, one network for all classes, resumable after a kill at any moment."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..runtime.bundle.parameters import Modality, TrainedRouteName
from ..runtime.errors import UsageError
from .choices import Loss
from .features.paired_features import PairedFeatures
from .routes.distillation import distillation
from .runs.state import Epoch, checkpoint_path, load_state, load_weights, save_state, save_weights
from .torch_device import mixed_precision

WARMUP_EPOCHS = 10
CHECKPOINT_EPOCHS = 5
# Samples whose activations are in memory together. Gradients of a batch are summed over its parts, which is the
# same but for I2F's batch normalization: its statistics are those of a part.
PART_SAMPLES = 8
# The state is also written when it is this old, so that a kill costs no more.
STATE_SECONDS = 60.0


@dataclass(frozen=True)
class FitSettings:
    """What the loop is asked to do."""

    route: TrainedRouteName
    main: Modality
    loss: Loss
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    amp: bool


def fit(
    features: PairedFeatures,
    settings: FitSettings,
    judges: Mapping[Modality, Callable[[nn.Module], float]],
    folder: Path,
    device: torch.device,
    report: Callable[[Epoch], None],
) -> list[Epoch]:
    """Adam with a linear warm-up of 10 epochs, then a constant rate; goes on from the folder's state if it has one.

    The weights of every fifth epoch and of the last lie in the folder then; the log of all epochs is returned.

    Args:
        features: the training samples.
        settings: see `FitSettings`.
        judges: what tells a checkpoint's detection, for each main modality that is judged.
        folder: of state and checkpoints.
        device: to train on.
        report: called after every epoch.

    Raises:
        UsageError: the folder's state is another training's, or the loss is not finite any more.
    """
    torch.manual_seed(settings.seed)
    network = distillation(settings.route).new(settings.main, *features.dims()).to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    log = load_state(folder, network, optimizer)
    saved = time.monotonic()
    for epoch in range(len(log) + 1, settings.epochs + 1):
        rate = _warm_up(optimizer, settings.learning_rate, epoch)
        loss = _run_epoch(network, optimizer, features, settings, epoch, device)
        is_checkpoint = epoch % CHECKPOINT_EPOCHS == 0 or epoch == settings.epochs
        detection = _checkpoint(network, checkpoint_path(folder, epoch), judges) if is_checkpoint else {}
        log.append(Epoch(epoch=epoch, learning_rate=rate, loss=loss, detection=detection))
        if is_checkpoint or time.monotonic() - saved > STATE_SECONDS:
            save_state(folder, network, optimizer, log)
            saved = time.monotonic()
        report(log[-1])
    return log


def _warm_up(optimizer: torch.optim.Optimizer, learning_rate: float, epoch: int) -> float:
    """Set the rate of an epoch, and return it."""
    rate = learning_rate * min(1.0, epoch / WARMUP_EPOCHS)
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate


def _checkpoint(
    network: nn.Module, file: Path, judges: Mapping[Modality, Callable[[nn.Module], float]]
) -> dict[Modality, float]:
    """Write a checkpoint's weights, and judge its detection."""
    save_weights(file, network.state_dict())
    return {main: judge(network) for main, judge in judges.items()}


def _run_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    features: PairedFeatures,
    settings: FitSettings,
    epoch: int,
    device: torch.device,
) -> float:
    """One pass over the samples, in an order of the epoch's own; the mean loss of a sample."""
    order = np.random.default_rng([settings.seed, epoch]).permutation(len(features.files)).tolist()
    total, route = 0.0, distillation(settings.route)
    for begin in range(0, len(order), settings.batch_size):
        batch = order[begin : begin + settings.batch_size]
        optimizer.zero_grad(set_to_none=True)
        for first in range(0, len(batch), PART_SAMPLES):
            pairs = [features.load(index) for index in batch[first : first + PART_SAMPLES]]
            with mixed_precision(device, settings.amp):
                terms = route.losses(network, settings.main, pairs, settings.loss, device)
                for term in terms:
                    (term / len(batch)).backward()  # type: ignore[no-untyped-call]
                    total += term.item()
        optimizer.step()
    loss = total / len(order)
    if not math.isfinite(loss):
        raise UsageError(
            f"epoch {epoch}: the loss is {loss}, not a number, so the network learns nothing more: train again with a "
            "smaller --learning-rate, without --amp, or look for absurd values in the scans"
        )
    return loss


def select_epochs(log: list[Epoch]) -> dict[Modality, int]:
    """For each main modality that was judged, the epoch of the best detection; the later of equal ones."""
    mains: list[Modality] = list(log[-1].detection)
    judged = [epoch for epoch in log if epoch.detection]
    return {main: max(judged, key=lambda epoch: (epoch.detection[main], epoch.epoch)).epoch for main in mains}


def selected_weights(
    folder: Path, route: TrainedRouteName, main: Modality, chosen: Mapping[Modality, int], last: int
) -> dict[str, Tensor]:
    """The weights to ship: those of the chosen epochs, or of the last where nothing was judged.

    Directions that share nothing are chosen one by one.
    """
    weights = load_weights(checkpoint_path(folder, chosen.get(main, last)))
    directions = distillation(route).directions
    if not directions:
        return weights
    both: dict[str, Tensor] = {}
    for direction, prefix in directions.items():
        part = load_weights(checkpoint_path(folder, chosen.get(direction, last)))
        both |= {name: value for name, value in part.items() if name.startswith(prefix)}
    return both
