"""Detection quality on a labelled dataset, by the exported networks and the runtime's own path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from ..runtime.bundle import Bundle
from ..runtime.dataset import GOOD, Sample, find_classes, find_samples
from ..runtime.decision import SECOND, BankMatch, match_bank
from ..runtime.errors import ScanError, naming_scan
from ..runtime.features import EXTRACTOR, FeatureExtractor, PartFeatures, PreparedPart, modalities, prepare_part
from ..runtime.image import read_mask
from ..runtime.inspector import read_part
from ..runtime.manifest import Manifest
from ..runtime.pooling import SIZE
from ..runtime.preprocessing import prepare_mask
from ..runtime.timing import StageTimes
from .calibrate import (
    CalibrationSettings,
    Progress,
    Side,
    calibrate_side,
    combine,
    patchless_features,
)
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
    rows: list[list[Row]] = [[] for _ in bundles]
    defects: dict[tuple[str, str], dict[str, float]] = {}
    extractors = [FeatureExtractor(bundle, provider) for bundle in bundles]
    for folder in find_classes(data, class_names):
        name = folder.resolve().name
        shared = SharedWork(folder, settings, progress)
        for bundle, extractor, route_rows in zip(bundles, extractors, rows, strict=True):
            scored = shared.score(bundle.manifest, extractor)
            route_rows.append(measure(name, bundle.manifest, scored))
            defects[name, bundle.manifest.route] = measure_defects(scored)
    with_means = [row for found in rows for row in (*found, *([mean_row(found)] if len(found) > 1 else []))]
    return Evaluation(with_means, defects)


class SharedWork:
    """One class, calibrated and scored on several routes; what routes have in common is computed once.

    Routes with the same main extractor share its features, its memory bank and the matches with it.
    """

    def __init__(self, folder: Path, settings: CalibrationSettings, progress: Progress) -> None:
        """Find the class's scans.

        Raises:
            UsageError: the class has no train/good or no test.
        """
        self._settings, self._progress = settings, progress
        self._normal = find_samples(folder, "train", GOOD)
        self._test = find_samples(folder, "test")
        self._measured: dict[str, list[tuple[PartFeatures, PreparedPart]]] = {}
        self._sides: dict[str, tuple[Side, list[BankMatch]]] = {}

    def score(self, manifest: Manifest, extractor: FeatureExtractor) -> Scored:
        """Calibrate a route on train/good and score the test parts.

        Raises:
            ScanError: a scan cannot be read or used.
        """
        main_key = manifest.files[manifest.networks[EXTRACTOR].file]
        measured = self._measure(main_key, manifest, extractor)
        completed = [extractor.complete(*each, StageTimes()) for each in self._with_images(measured, manifest)]
        patchless = patchless_features(manifest, extractor, completed[0])
        main = self._side(main_key, [each.main for each in completed], patchless[0])
        second = None
        if manifest.route in SECOND:
            rows = [each.second for each in completed if each.second is not None]
            second = self._side(f"{main_key} {manifest.route}", rows, patchless[1])
        n = len(self._normal)
        foregrounds = [each.foreground for each in completed]
        decision = combine(foregrounds[:n], main[0], second and second[0], "", self._settings).decision
        pairs = [(each,) for each in main[1]] if second is None else zip(main[1], second[1], strict=True)
        decided = [decision.decide(*each) for each in zip(foregrounds[n:], pairs, strict=True)]
        scores, maps = zip(*decided, strict=True)
        masks = [_mask(sample, part) for sample, (_, part) in zip(self._test, measured[n:], strict=True)]
        return Scored(np.array(scores), [each.defect for each in self._test], np.stack(maps), np.stack(masks))

    def _measure(
        self, key: str, manifest: Manifest, extractor: FeatureExtractor
    ) -> list[tuple[PartFeatures, PreparedPart]]:
        if key not in self._measured:
            samples = [*self._normal, *self._test]
            self._measured[key] = []
            for number, sample in enumerate(samples, 1):
                with naming_scan(sample.scan):
                    prepared = prepare_part(read_part(_main_file(sample, manifest), manifest), manifest)
                    self._measured[key].append((extractor.measure(prepared, StageTimes()), prepared))
                self._progress("features", number, len(samples), "")
        return self._measured[key]

    def _with_images(
        self, measured: list[tuple[PartFeatures, PreparedPart]], manifest: Manifest
    ) -> Iterator[tuple[PartFeatures, PreparedPart]]:
        """The measured parts, prepared with both sensors' data where the route has both."""
        if manifest.route != "dual":
            yield from measured
            return
        for sample, (features, _) in zip([*self._normal, *self._test], measured, strict=True):
            with naming_scan(sample.scan):
                yield features, prepare_part(read_part(sample.scan, manifest), manifest)

    def _side(self, key: str, rows: Sequence[Array], patchless: Array | None) -> tuple[Side, list[BankMatch]]:
        if key not in self._sides:
            n = len(self._normal)
            side = calibrate_side(rows[:n], patchless, self._settings, self._progress)
            self._sides[key] = side, [match_bank(side.bank, each) for each in rows[n:]]
        return self._sides[key]


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


def _main_file(sample: Sample, manifest: Manifest) -> Path:
    if modalities(manifest) != {"rgb"}:
        return sample.scan
    if sample.rgb is None:
        raise ScanError(f"{sample.scan}: there is no registered image rgb/{sample.scan.stem}.png beside it")
    return sample.rgb


def _mask(sample: Sample, prepared: PreparedPart) -> npt.NDArray[np.bool_]:
    if sample.mask is None:
        return np.zeros((SIZE, SIZE), np.bool_)
    return prepare_mask(read_mask(sample.mask), prepared.frame)
