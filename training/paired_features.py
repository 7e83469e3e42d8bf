"""Registered features of both modalities for training, kept on disk so that memory stays bounded.

One file a sample, named by the digest of everything it depends on: a killed run goes on where it stopped, and a
second run on the same data starts at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from ..runtime.atomic import atomic_write
from ..runtime.dataset import Sample
from ..runtime.errors import ScanError
from ..runtime.features import image_features, point_features
from ..runtime.image import read_rgb
from ..runtime.pooling import foreground_patches
from ..runtime.preprocessing import Preprocessing, prepare, prepare_rgb
from ..runtime.scan import read_scan
from ..runtime.timing import StageTimes
from .extractors.opening import Extractor

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PairedFeatures:
    """The cached feature files of a training set, in the samples' order."""

    files: list[Path]

    def load(self, index: int) -> tuple[Array, Array]:
        """One sample's foreground patches: (n, D_pc) and (n, D_rgb) float32."""
        with np.load(self.files[index], allow_pickle=False) as stored:
            return stored["pc"], stored["rgb"]

    def dims(self) -> tuple[int, int]:
        """D_pc and D_rgb."""
        pc, rgb = self.load(0)
        return pc.shape[1], rgb.shape[1]


def cache_paired_features(
    samples: Sequence[Sample],
    point: Extractor,
    image: Extractor,
    preprocessing: Preprocessing,
    cache: Path,
    progress: Callable[[int, int], None],
) -> PairedFeatures:
    """Extract what is not cached yet.

    Args:
        samples: normal samples, each with its image.
        point: the point extractor.
        image: the image extractor.
        preprocessing: as the line will do it.
        cache: the folder of the feature files.
        progress: called with (done, all).

    Raises:
        ScanError: a sample has no image, or cannot be read.
    """
    files = []
    settings = msgspec.json.encode([preprocessing, point.grouping])
    for number, sample in enumerate(samples):
        file = cache / f"{_digest(sample, settings, point.digest, image.digest)}.npz"
        if not file.exists():
            pc, rgb = paired_features(sample, point, image, preprocessing)
            with atomic_write(file) as stream:
                np.savez(stream, pc=pc, rgb=rgb)
        files.append(file)
        progress(number + 1, len(samples))
    return PairedFeatures(files)


def paired_features(
    sample: Sample, point: Extractor, image: Extractor, preprocessing: Preprocessing
) -> tuple[Array, Array]:
    """Both modalities' features on the patches that carry part: (n, D_pc), (n, D_rgb) float32."""
    scan = prepare(read_scan(sample.scan, preprocessing.metres_per_unit).points, preprocessing)
    rgb = prepare_rgb(read_rgb(_registered_image(sample)), scan.kept, scan.frame)
    foreground = foreground_patches(scan.valid)
    times = StageTimes()
    assert point.grouping is not None
    pc_features = point_features(scan, foreground, point.grouping, _runner(point), times)
    return pc_features, image_features(rgb, foreground, _runner(image), times)


def _registered_image(sample: Sample) -> Path:
    if sample.rgb is None:
        raise ScanError(f"{sample.scan}: there is no registered image rgb/{sample.scan.stem}.png beside it")
    return sample.rgb


def _runner(extractor: Extractor) -> Callable[[dict[str, Array]], Array]:
    def run(inputs: dict[str, Array]) -> Array:
        with torch.inference_mode():
            tokens: Array = extractor.network(**{k: torch.from_numpy(v) for k, v in inputs.items()}).numpy()
        return tokens

    return run


def _digest(sample: Sample, settings: bytes, *networks: str) -> str:
    rgb = _registered_image(sample)
    digest = hashlib.sha256(settings)
    for network in networks:
        digest.update(network.encode())
    for file in (sample.scan, rgb):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:32]
