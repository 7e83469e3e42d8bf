"""Registered features and inputs of both modalities for training, kept on disk so that memory stays bounded.

One file a sample, named by the digest of everything it depends on: a killed run goes on where it stopped, and a
second run on the same data starts at once. Features are kept in half precision: rounded to 0.05 %, at half the
size. A sample takes at most 4 MB with the full-size extractors where 40 % of its patches carry part
(benchmarks/studies/training_memory.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from ...runtime.bundle.manifest import Statistics
from ...runtime.bundle.parameters import Modality, Preprocessing
from ...runtime.errors import WeightsError, naming_scan
from ...runtime.files.atomic import atomic_write
from ...runtime.patches.features import PartFeatures, image_tokens, point_features, token_of_patch
from ...runtime.patches.pooling import N_PATCHES, SIZE, foreground_patches
from ...runtime.preparation.frame import Frame, prepare_mask
from ...runtime.preparation.part_samples import prepare_sample
from ...runtime.preparation.prepare import PreparedScan
from ...runtime.preparation.prepared_part import PreparedPart
from ...runtime.progress import StepProgress
from ...runtime.sensor.dataset import Sample
from ...runtime.sensor.image import read_defect_mask, resized_image
from ...runtime.sensor.part import BOTH, IMAGE, input_file
from ...runtime.sensor.readers.limits import read_bounded
from ...runtime.timing import StageTimes
from ..extractors.by_name import Extractor
from .pseudo_defects import with_pseudo_defect
from .torch_session import CPU, TorchSession

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
# Goes into every file's name: files of another layout are not read.
LAYOUT = b"2"


@dataclass(frozen=True)
class Pair:
    """One part as both sensors saw it, at the networks' resolution, and the features of both extractors.

    Attributes:
        valid: (224, 224) bool, pixels that belong to the part.
        points: (224, 224, 3) float32, meters, zero where there is no part.
        image: (224, 224, 3) uint8, black there.
        mask: (224, 224) bool, what is defective.
        pc: (n, D) float32, features of the foreground patches.
        rgb_tokens: (T, E) float32, all tokens of the image.
    """

    valid: Mask
    points: Array
    image: npt.NDArray[np.uint8]
    mask: Mask
    pc: Array
    rgb_tokens: Array

    @cached_property
    def foreground(self) -> Mask:
        """(3136,) bool, the patches that carry part."""
        return foreground_patches(self.valid)

    @cached_property
    def rgb(self) -> Array:
        """(n, E) float32, the image's features of the foreground patches."""
        return self.rgb_tokens[token_of_patch(len(self.rgb_tokens))[self.foreground]]

    def measured(self, main: Modality) -> PartFeatures:
        """What a line with the main modality's sensor has before it hallucinates."""
        if main == "pc":
            return PartFeatures(self.foreground, self.pc, None)
        return PartFeatures(self.foreground, self.rgb, None, self.rgb_tokens)

    def prepared(self) -> PreparedPart:
        """The part as the runtime prepares it; its input's own pixels are the networks'."""
        frame = Frame(SIZE, SIZE, SIZE, SIZE)
        scan = PreparedScan(self.points, self.valid, self.valid, frame)
        return PreparedPart(scan, self.image, self.valid, self.valid, frame)


@dataclass(frozen=True)
class PairedFeatures:
    """The cached files of a training set, in the samples' order."""

    files: list[Path]

    def load(self, index: int) -> Pair:
        """One sample, features as float32."""
        with np.load(self.files[index], allow_pickle=False) as stored:
            arrays = {field.name: stored[field.name] for field in fields(Pair)}
        halves = {name: arrays[name].astype(np.float32) for name in ("pc", "rgb_tokens")}
        return Pair(**arrays | halves)

    def pairs(self) -> Iterator[Pair]:
        """Every sample, one at a time."""
        for index in range(len(self.files)):
            yield self.load(index)

    def dims(self) -> tuple[int, int]:
        """D_pc and D_rgb."""
        pair = self.load(0)
        return pair.pc.shape[1], pair.rgb_tokens.shape[1]

    def statistics(self) -> dict[Modality, Statistics]:
        """Mean and standard deviation of either modality's features over all patches of all samples."""
        sums = {"pc": np.zeros(2), "rgb": np.zeros(2)}
        for pair in self.pairs():
            for name, features in (("pc", pair.pc), ("rgb", pair.rgb_tokens)):
                values = features.astype(np.float64)
                sums[name] += values.sum(), np.square(values).sum()
        dim_pc, dim_rgb = self.dims()
        n_tokens = len(self.load(0).rgb_tokens)
        return {
            "pc": _statistics(sums["pc"], len(self.files) * N_PATCHES * dim_pc),
            "rgb": _statistics(sums["rgb"], len(self.files) * n_tokens * dim_rgb),
        }


def _statistics(sums: npt.NDArray[np.float64], count: int) -> Statistics:
    mean, mean_square = sums / count
    variance = mean_square - mean**2
    if not variance > 0:
        raise WeightsError("an extractor gives the same value for every patch of every part: check its weights")
    return Statistics(mean=float(mean), std=float(np.sqrt(variance)))


@dataclass(frozen=True)
class Wanted:
    """A sample to have in the cache.

    Attributes:
        sample: with its image.
        pseudo_defect: seed of the defect that is painted into it; None: the sample as it is.
    """

    sample: Sample
    pseudo_defect: int | None = None


def cache_paired_features(
    wanted: Sequence[Wanted],
    point: Extractor,
    image: Extractor,
    preprocessing: Callable[[Sample], Preprocessing],
    cache: Path,
    progress: StepProgress,
    device: torch.device = CPU,
) -> PairedFeatures:
    """Extract what is not cached yet.

    Args:
        wanted: samples, each with its image.
        point: the point extractor.
        image: the image extractor.
        preprocessing: of a sample, as the line will do it.
        cache: the folder of the feature files.
        progress: called with (done, all).
        device: where the extractors run.

    Raises:
        ScanError: a sample has no image, or cannot be read.
    """
    files = []
    for number, entry in enumerate(wanted):
        own = preprocessing(entry.sample)
        settings = msgspec.json.encode([own, point.grouping])
        file = cache / f"{_digest(entry, settings, point.digest, image.digest)}.npz"
        if not file.exists():
            write_pair(file, paired_features(entry, point, image, own, device))
        files.append(file)
        progress(number + 1, len(wanted))
    return PairedFeatures(files)


def write_pair(file: Path, pair: Pair) -> None:
    """Store a sample, its features in half precision."""
    arrays = {field.name: getattr(pair, field.name) for field in fields(Pair)}
    halves = {name: arrays[name].astype(np.float16) for name in ("pc", "rgb_tokens")}
    with atomic_write(file) as stream:
        np.savez(stream, **arrays | halves)


def paired_features(
    wanted: Wanted,
    point: Extractor,
    image: Extractor,
    preprocessing: Preprocessing,
    device: torch.device = CPU,
) -> Pair:
    """Prepare a part and extract both modalities' features."""
    sample = wanted.sample
    with naming_scan(sample.scan):
        prepared = prepare_sample(sample, BOTH, preprocessing)[0]
        scan, rgb = prepared.scan, prepared.image
        assert scan is not None
        assert rgb is not None
        small = resized_image(rgb)
        mask = np.zeros_like(scan.valid)
        if sample.mask is not None:
            mask = prepare_mask(read_defect_mask(sample.mask), scan.frame) & scan.valid
        points = scan.points
        if wanted.pseudo_defect is not None:
            points, small, mask = with_pseudo_defect(points, small, scan.valid, wanted.pseudo_defect)
        return pair_of(points, small, scan.valid, mask, point, image, device)


def pair_of(
    points: Array,
    small: npt.NDArray[np.uint8],
    valid: Mask,
    mask: Mask,
    point: Extractor,
    image: Extractor,
    device: torch.device,
) -> Pair:
    """Both modalities' features of a prepared part (arguments as `Pair` has them)."""
    assert point.grouping is not None
    times, foreground = StageTimes(), foreground_patches(valid)
    scan = PreparedScan(points, valid, valid, Frame(SIZE, SIZE, SIZE, SIZE))
    run_point = TorchSession(point.network, "tokens", device)
    run_image = TorchSession(image.network, "tokens", device)
    return Pair(
        valid=valid,
        points=points,
        image=small,
        mask=mask,
        pc=point_features(scan, foreground, point.grouping, lambda inputs: run_point.run(inputs)["tokens"], times),
        rgb_tokens=image_tokens(small, lambda inputs: run_image.run(inputs)["tokens"], times),
    )


def _digest(wanted: Wanted, settings: bytes, *networks: str) -> str:
    digest = hashlib.sha256(LAYOUT + settings)
    sample = wanted.sample
    which = [] if sample.part is None else [f"part {sample.part}"]
    for text in (*networks, str(wanted.pseudo_defect), *which):
        digest.update(text.encode())
    for file in (sample.scan, input_file(sample, IMAGE), sample.mask):
        digest.update(hashlib.sha256(read_bounded(file) if file is not None else b"").digest())
    return digest.hexdigest()[:32]
