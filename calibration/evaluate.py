"""Detection quality on a labelled dataset, by the exported networks and the runtime's own path."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from ..runtime.bundle import Bundle
from ..runtime.dataset import GOOD, Sample, data_digest, find_classes, find_samples
from ..runtime.decision import Decision
from ..runtime.features import FeatureExtractor, PreparedPart, modalities, prepare_part
from ..runtime.image import read_mask
from ..runtime.inspector import read_part
from ..runtime.manifest import Manifest
from ..runtime.pooling import SIZE
from ..runtime.preprocessing import prepare_mask
from ..runtime.timing import StageTimes
from .calibrate import CalibrationSettings, Progress, calibrate, extract_features
from .metrics import aupro, auroc, pixel_auroc

Array = npt.NDArray[np.float32]


class Row(msgspec.Struct, frozen=True, rename={"class_name": "class"}):
    """One class, or the mean of all, on one route; the documented object of `evaluate --json`."""

    class_name: str
    route: str
    main: str
    i_auroc: float
    p_auroc: float
    aupro: float
    aupro_001: float
    n_test: int


@dataclass(frozen=True)
class Scored:
    """The test parts of one class on one route.

    Attributes:
        scores: (n,) float64, image scores.
        defects: n defect names, `good` for normal parts.
        maps: (n, 224, 224) float32.
        masks: (n, 224, 224) bool.
    """

    scores: npt.NDArray[np.float64]
    defects: list[str]
    maps: Array
    masks: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Evaluation:
    """Metrics by class and route, with the mean over classes where there are several."""

    rows: list[Row]
    defects: dict[tuple[str, str], dict[str, float]]

    def as_json(self) -> bytes:
        """The documented object: `rows` of metrics, and `defects` with the image AUROC of each defect's parts."""
        defects = [
            {"class": class_name, "route": route, "defect": defect, "i_auroc": value}
            for (class_name, route), found in self.defects.items()
            for defect, value in found.items()
        ]
        return msgspec.json.encode({"rows": self.rows, "defects": defects})

    def as_table(self) -> tuple[list[str], list[list[str]]]:
        """Headers and rows of the table of metrics."""
        headers = ["class", "route", "main", "I-AUROC", "P-AUROC", "AUPRO", "AUPRO@1%", "parts"]
        rows = []
        for row in self.rows:
            figures = [f"{value:.3f}" for value in (row.i_auroc, row.p_auroc, row.aupro, row.aupro_001)]
            rows.append([row.class_name, row.route, row.main, *figures, str(row.n_test)])
        return headers, rows

    def by_defect(self) -> tuple[list[str], list[list[str]]]:
        """Headers and rows of the image AUROC of each defect's parts against the good ones."""
        names = sorted({name for found in self.defects.values() for name in found})
        rows = [
            [class_name, route, *(f"{found[name]:.3f}" if name in found else "-" for name in names)]
            for (class_name, route), found in self.defects.items()
        ]
        return ["class", "route", *names], rows


def evaluate_dataset(
    data: Path,
    class_names: Sequence[str],
    bundles: Sequence[Bundle],
    settings: CalibrationSettings,
    provider: str,
    progress: Progress,
) -> Evaluation:
    """Calibrate every class on its train/good and score its test parts, for each bundle's route.

    Args:
        data: a dataset root in the MVTec 3D-AD layout.
        class_names: which classes; empty: all.
        bundles: exported bundles, one a route; whether they are calibrated does not matter.
        settings: of the calibration.
        provider: the execution provider.
        progress: called with (stage, done, all, remark).

    Raises:
        UsageError: the dataset is not as described.
        ScanError: a scan cannot be read or used.
    """
    rows: list[Row] = []
    defects: dict[tuple[str, str], dict[str, float]] = {}
    for bundle in bundles:
        extractor = FeatureExtractor(bundle, provider)
        route_rows = []
        for folder in find_classes(data, class_names):
            name = folder.resolve().name
            scored = score_class(bundle.manifest, extractor, folder, settings, progress)
            route_rows.append(measure(name, bundle.manifest, scored))
            defects[name, bundle.manifest.route] = measure_defects(scored)
        rows.extend(route_rows)
        if len(route_rows) > 1:
            rows.append(mean_row(route_rows))
    return Evaluation(rows, defects)


def score_class(
    manifest: Manifest,
    extractor: FeatureExtractor,
    folder: Path,
    settings: CalibrationSettings,
    progress: Progress,
) -> Scored:
    """Calibrate on a class's train/good and score its test parts."""
    main_file = _file_reader(manifest)
    normal = [main_file(sample) for sample in find_samples(folder, "train", GOOD)]
    features = extract_features(manifest, extractor, normal, progress)
    decision = calibrate(manifest, extractor, features, data_digest(normal), settings, progress).decision
    samples = find_samples(folder, "test")
    scored = []
    for number, sample in enumerate(samples, 1):
        scored.append(_score(manifest, extractor, decision, sample, main_file(sample)))
        progress("test", number, len(samples), folder.name)
    scores, maps, masks = zip(*scored, strict=True)
    return Scored(np.array(scores), [sample.defect for sample in samples], np.stack(maps), np.stack(masks))


def measure(name: str, manifest: Manifest, scored: Scored) -> Row:
    """The paper's metrics of one class."""
    labels = np.array([defect != GOOD for defect in scored.defects])
    return Row(
        class_name=name,
        route=manifest.route,
        main=manifest.main,
        i_auroc=auroc(scored.scores, labels),
        p_auroc=pixel_auroc(scored.maps, scored.masks),
        aupro=aupro(scored.maps, scored.masks, 0.3),
        aupro_001=aupro(scored.maps, scored.masks, 0.01),
        n_test=len(labels),
    )


def measure_defects(scored: Scored) -> dict[str, float]:
    """Image AUROC of each defect's parts against the good ones."""
    names = np.array(scored.defects)
    found = {}
    for name in sorted(set(scored.defects) - {GOOD}):
        chosen = (names == name) | (names == GOOD)
        found[name] = auroc(scored.scores[chosen], names[chosen] == name)
    return found


def mean_row(rows: Sequence[Row]) -> Row:
    """The mean over classes of every metric."""

    def mean(values: Iterable[float]) -> float:
        return float(np.mean(list(values)))

    return Row(
        class_name="mean",
        route=rows[0].route,
        main=rows[0].main,
        i_auroc=mean(row.i_auroc for row in rows),
        p_auroc=mean(row.p_auroc for row in rows),
        aupro=mean(row.aupro for row in rows),
        aupro_001=mean(row.aupro_001 for row in rows),
        n_test=sum(row.n_test for row in rows),
    )


def _file_reader(manifest: Manifest):  # type: ignore[no-untyped-def]
    if modalities(manifest) == {"rgb"}:
        return lambda sample: sample.rgb
    return lambda sample: sample.scan


def _score(
    manifest: Manifest, extractor: FeatureExtractor, decision: Decision, sample: Sample, file: Path
) -> tuple[float, Array, npt.NDArray[np.bool_]]:
    prepared: PreparedPart = prepare_part(read_part(file, manifest), manifest)
    features = extractor.extract(prepared, StageTimes())
    score, map_224 = decision.decide(features.foreground, decision.match(features))
    if sample.mask is None:
        return score, map_224, np.zeros((SIZE, SIZE), np.bool_)
    return score, map_224, prepare_mask(read_mask(sample.mask), prepared.frame)
