"""Which checkpoint to ship: judged by detection on validation data, since the lowest loss is not the best detector.

The judge does on the workstation what the line will do, with the runtime's own feature path, search and image
score: banks of some training parts, one of measured and one of hallucinated features, and the validation parts
against them. What a good part must be told from are the validation split's own defects where it has some, and
else the same parts with a defect painted in (`pseudo_defects`). The test split is never looked at. A checkpoint's
detection is the mean of image AUROC and patch AUROC (at 56x56), so that it still tells networks apart where every
part is ranked right; over classes it is the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ..runtime.banks.bank import build_bank
from ..runtime.bundle.parameters import Modality, TrainedRouteName
from ..runtime.engines.session import Session
from ..runtime.errors import ScanError
from ..runtime.patches.features import FeaturePath
from ..runtime.patches.pooling import PATCH_GRID, SIZE
from ..runtime.patches.routes import HALLUCINATOR, SECOND_EXTRACTOR
from ..runtime.sensor.dataset import GOOD, Sample, find_samples, label_doubts, list_samples
from ..runtime.sensor.file_copies import listed, scans_in_both
from ..runtime.timing import StageTimes
from ..runtime.verdict.auroc import auroc
from ..runtime.verdict.decision import BankMatch, NormalizedBank, match_bank
from .extractors.by_name import Extractor
from .features.paired_features import Pair, PairedFeatures, Wanted
from .features.torch_session import TorchSession
from .routes.distillation import distillation

# Enough to rank checkpoints, and seconds a checkpoint and class on two cores.
BANK_PARTS = 12
VALIDATION_PARTS = 12
BANK_ROWS = 4096

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ValidationParts:
    """The parts of one class that checkpoints are judged on, in the order of their cached files.

    Attributes:
        wanted: normal training parts for the banks, then normal validation parts, then defective ones.
        n_bank: how many are for the banks.
        n_good: how many normal validation parts follow.
        pseudo: whether the defects are painted in.
    """

    wanted: list[Wanted]
    n_bank: int
    n_good: int
    pseudo: bool


def find_validation(
    class_folder: Path, split: Callable[[Sequence[Sample]], list[Sample]] = list
) -> ValidationParts | None:
    """The parts to judge on; None where the class has no normal validation parts.

    Args:
        class_folder: of a dataset.
        split: makes the parts of scans that show several.
    """
    validation = split(list_samples(class_folder, "validation"))
    if all(sample.is_defect for sample in validation):
        return None
    bank = _spread(split(find_samples(class_folder, "train", GOOD)), BANK_PARTS)
    good = _spread([sample for sample in validation if not sample.is_defect], VALIDATION_PARTS)
    real = _spread([sample for sample in validation if sample.is_defect], VALIDATION_PARTS)
    defective = [Wanted(sample) for sample in real] or [Wanted(sample, seed) for seed, sample in enumerate(good)]
    wanted = [*map(Wanted, bank), *map(Wanted, good), *defective]
    return ValidationParts(wanted, len(bank), len(good), pseudo=not real)


def validation_doubts(class_folder: Path) -> list[str]:
    """What makes the judgment on a class's validation parts worth little, a sentence for each kind.

    Of the test split files are compared, and nothing else; what is wrong with them does not stop a training.

    Raises:
        ScanError: a training or validation scan cannot be read.
    """
    validation = list_samples(class_folder, "validation")
    learned = scans_in_both("validation", validation, "train", list_samples(class_folder, "train", GOOD))
    unseen = list[str]()
    try:
        tested = scans_in_both("validation", validation, "test", list_samples(class_folder, "test"))
    except ScanError as error:
        tested, unseen = [], [f"it could not be checked whether validation scans are test scans too: {error}"]
    kinds = [
        (learned, "training scans too", "checkpoints are judged by parts that they have learned from"),
        (tested, "test scans too", "an evaluation of this run on them shows better figures than on parts never seen"),
    ]
    return [
        *label_doubts("validation", validation),
        *unseen,
        *(
            f"{len(shared)} of {len(validation)} validation scans are {what}: {listed(shared)}: {why}: take them out "
            "of one of the two"
            for shared, what, why in kinds
            if shared
        ),
    ]


class Judge:
    """Judges a route's networks by their detection, for one main modality."""

    def __init__(
        self,
        classes: Sequence[tuple[ValidationParts, PairedFeatures]],
        route: TrainedRouteName,
        main: Modality,
        point: Extractor,
        image: Extractor,
        device: torch.device,
    ) -> None:
        """Open what judging needs beside the trained network.

        Args:
            classes: every class's parts with their cached features.
            route: whose networks are judged.
            main: the main modality they are judged for.
            point: the point extractor.
            image: the image extractor.
            device: where the networks run.
        """
        assert point.grouping is not None
        self._route, self._main, self._grouping, self._device = route, main, point.grouping, device
        second = image if main == "pc" else point
        self._second = TorchSession(second.network, "tokens", device)
        self._classes = [_JudgedClass(parts, features, main) for parts, features in classes]

    def __call__(self, network: nn.Module) -> float:
        """The network's detection, 0 to 1; the network is left in the mode it was in."""
        training = network.training
        route = distillation(self._route)
        sessions: dict[str, Session] = {
            HALLUCINATOR: TorchSession(route.one_direction(network, self._main).eval(), route.output, self._device),
            SECOND_EXTRACTOR: self._second,
        }
        path = FeaturePath(self._route, self._main, self._grouping, sessions)
        detection = float(np.mean([judged.detection(path) for judged in self._classes]))
        network.train(training)
        return detection


class _JudgedClass:
    """One class; what does not depend on the trained network is computed once."""

    def __init__(self, parts: ValidationParts, features: PairedFeatures, main: Modality) -> None:
        self._parts, self._features, self._main = parts, features, main
        rows: list[Array] = []
        self._matches: list[BankMatch] = []
        self._masks: list[Mask] = []
        for index, pair in enumerate(features.pairs()):
            measured = pair.measured(main).main
            if index < parts.n_bank:
                rows.append(measured)
                continue
            if index == parts.n_bank:
                bank = _bank_of(rows)
            self._matches.append(match_bank(bank, measured))
            self._masks.append(_patch_mask(pair))

    def detection(self, path: FeaturePath) -> float:
        """Image and patch AUROC, averaged, of both banks together."""
        second: list[Array] = []
        for pair in self._features.pairs():
            hallucinated = path.complete(pair.measured(self._main), pair.prepared(), StageTimes()).second
            assert hallucinated is not None
            second.append(hallucinated)
        bank = _bank_of(second[: self._parts.n_bank])
        matches = [match_bank(bank, rows) for rows in second[self._parts.n_bank :]]
        n_good = self._parts.n_good
        scores = _balanced([np.array([match.score]) for match in self._matches], n_good)
        scores = scores + _balanced([np.array([match.score]) for match in matches], n_good)
        image = auroc(scores, np.arange(len(scores)) >= n_good)
        labels = np.concatenate(self._masks)
        if not labels.any():
            return image
        distances = _balanced([match.distances for match in self._matches], n_good)
        distances = distances + _balanced([match.distances for match in matches], n_good)
        return (image + auroc(distances, labels)) / 2


def _bank_of(features: Sequence[Array]) -> NormalizedBank:
    """A bank of evenly spaced patches: cheaper than a coreset, and the same for every checkpoint."""
    pool = np.concatenate(features)
    rows = pool[:: -(-len(pool) // BANK_ROWS)]
    mean, std = float(rows.mean(dtype=np.float64)), max(float(rows.std(dtype=np.float64)), 1e-12)
    return NormalizedBank(build_bank((rows - np.float32(mean)) / np.float32(std)), mean, std)


def _balanced(values: Sequence[npt.NDArray[np.floating]], n_good: int) -> npt.NDArray[np.float64]:
    """All parts' values together, in units of the mean over the good ones."""
    unit = float(np.concatenate(values[:n_good]).mean(dtype=np.float64))
    return np.concatenate(values).astype(np.float64) / max(unit, 1e-12)


def _patch_mask(pair: Pair) -> Mask:
    """Which foreground patches hold a defective pixel."""
    side = SIZE // PATCH_GRID
    patches = pair.mask.reshape(PATCH_GRID, side, PATCH_GRID, side).any(axis=(1, 3)).ravel()
    mask: Mask = patches[pair.foreground]
    return mask


def _spread(samples: Sequence[Sample], most: int) -> list[Sample]:
    """At most `most` of them, evenly spaced."""
    count = min(len(samples), most)
    return [samples[index * len(samples) // count] for index in range(count)]
