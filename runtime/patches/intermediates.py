"""What happens between a scan and its score, as arrays: what one needs to compare two implementations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..bundle.parameters import PartRange, Preprocessing
from ..bundle.reading import Bundle
from ..engines.opening import Recorder
from ..errors import UsageError, naming_scan
from ..files.atomic import atomic_write
from ..preparation.prepared_part import PreparedPart, prepare_part
from ..preparation.settling import settle_scans
from ..progress import StepProgress
from ..sensor.part import read_part
from ..timing import StageTimes
from .features import FeatureExtractor, FeaturePath
from .grouped import GroupedPart
from .routes import EXTRACTOR

SUFFIX = ".npz"


@dataclass(frozen=True)
class FeatureSource:
    """A route's networks, and how a file becomes what they take.

    Attributes:
        path: the networks, ready to run.
        preprocessing: of the files; see `settled_source`.
        expected: what calibration saw; None before that.
    """

    path: FeaturePath
    preprocessing: Preprocessing
    expected: PartRange | None = None

    def prepare(self, file: Path) -> PreparedPart:
        """Read and preprocess a file of the main modality, as inspection does.

        Raises:
            ScanError: it cannot be read, or nothing of the part is left. The message names the file.
            UsageError: a scan is all parts in it.
        """
        if self.preprocessing.parts == "all":
            raise UsageError("features are of one part, but here a scan has several: use parts = largest")
        measured = self.path.route.measured
        with naming_scan(file):
            part = read_part(file, measured, self.preprocessing)
            return prepare_part(part, measured, self.preprocessing, self.expected)


def bundle_source(bundle: Bundle, provider: str = "cpu") -> FeatureSource:
    """The networks of a bundle, calibrated or not.

    Raises:
        EngineError: the provider is not available.
        BundleError: a network is missing or not valid.
    """
    manifest = bundle.manifest
    return FeatureSource(FeatureExtractor(bundle, provider), manifest.preprocessing, manifest.part_range)


def settled_source(
    source: FeatureSource, files: Sequence[Path], progress: StepProgress = lambda *_: None
) -> tuple[FeatureSource, tuple[str, ...]]:
    """The source with raw or preprocessed decided once from all files, as calibration does; an image has no plane.

    Returns:
        It, and what speaks against the decision: a sentence each.

    Raises:
        ScanError: a scan cannot be read.
        UsageError: scans are of both kinds.
    """
    known = source.preprocessing
    if "pc" not in source.path.route.measured or not known.is_undecided:
        return source, ()
    settled = settle_scans(known, files, progress)
    return replace(source, preprocessing=settled.preprocessing), settled.warnings


def write_features(source: FeatureSource, files: Sequence[Path], out: Path, progress: StepProgress) -> list[Path]:
    """Write the arrays of `feature_arrays`: one scan's to `out`, NAME.npz, or each of several into the folder `out`.

    Returns:
        The files written.

    Raises:
        UsageError: `out` does not fit the number of scans, or two of them have the same name.
        ScanError: a scan cannot be read or used.
    """
    if len(files) == 1 and out.suffix == SUFFIX:
        targets = [out]
    else:
        targets = [out / f"{file.stem}{SUFFIX}" for file in files]
    if len(files) > 1 and out.suffix == SUFFIX:
        raise UsageError(f"{out}: holds the features of one scan, but these are {len(files)}: give a folder as --out")
    if len(set(targets)) < len(targets):
        raise UsageError(f"{out}: several scans have the same name: give those of one folder at a time")
    for number, (file, target) in enumerate(zip(files, targets, strict=True), 1):
        with naming_scan(file):
            arrays = feature_arrays(source, source.prepare(file))
        with atomic_write(target) as stream:
            np.savez(stream, allow_pickle=False, **arrays)
        progress(number, len(files))
    return targets


def feature_arrays(source: FeatureSource, prepared: PreparedPart) -> dict[str, npt.NDArray[np.generic]]:
    """A part's intermediate arrays on all 3136 patches, row by row.

    Args:
        source: the networks.
        prepared: the part.

    Returns:
        `tokens` (T, D): the main extractor's, one a group or one an image patch. `patch` (3136, D): the main
        modality's features; zero where there are no points. Points also have `center_idx` (G,) int64: the groups'
        centers, among the valid points row by row. Distillation routes also have `hallucination` (3136, E): the
        missing modality's features; without points, F2F's are the hallucination of zeros. F2I also has
        `hallucinated_input` (3, 224, 224): an ImageNet-normalized image, or x, y and z in meters.

    Raises:
        ScanError: too few points are left for a group.
    """
    path, times, recorder = source.path, StageTimes(), Recorder()
    prepared = path.group(prepared, times)
    with path.observed(recorder):
        everywhere = path.measure(prepared, times).everywhere()
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "tokens": recorder.tensors[f"{EXTRACTOR}.tokens"][0],
        "patch": everywhere.main,
    }
    if path.route.main == "pc":
        assert isinstance(prepared, GroupedPart)
        arrays["center_idx"] = prepared.grouped.center_idx
    if path.route.is_trained:
        complete = path.complete(everywhere, prepared, times)
        assert complete.second is not None
        arrays["hallucination"] = complete.second
        if complete.hallucinated_input is not None:
            arrays["hallucinated_input"] = complete.hallucinated_input
    return arrays
