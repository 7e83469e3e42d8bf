"""Normal scans become memory banks, fusion weights and thresholds, through the runtime's own feature path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from ..runtime import manifest as manifest_format
from ..runtime.bank import MemoryBank, build_bank
from ..runtime.bundle import Bundle
from ..runtime.bundle_writing import Content, rewrite_bundle
from ..runtime.dataset import data_digest
from ..runtime.decision import FUSION, BankMatch, Decision, NormalizedBank, match_bank
from ..runtime.engine import OnnxEngine
from ..runtime.errors import UsageError, naming_scan
from ..runtime.features import FeatureExtractor, FeaturePath, PartFeatures, prepare_part
from ..runtime.fusion import encode_fusion
from ..runtime.golden import add_golden
from ..runtime.inspector import read_part
from ..runtime.line_graph import DATA, LINE, LineGraph
from ..runtime.manifest import Manifest, Metric, Normalization, Statistics
from ..runtime.patches.routes import route_of
from ..runtime.pooling import N_PATCHES
from ..runtime.preprocessing import Preprocessing
from ..runtime.timing import StageTimes
from .coreset import select_coreset
from .fusion import fit_fusion
from .line_graph import add_line_graph
from .line_graph_check import COMPARED as LINE_CHECK
from .line_graph_check import check_line_graph
from .parity import read_report
from .threshold import threshold_from_good

MIN_SCANS = 3
PATCHLESS_GROUP = -1

Array = npt.NDArray[np.float32]
Progress = Callable[[str, int, int, str], None]
BankPrecision = Literal["fp32", "fp16"]
_BANK_DTYPES: dict[BankPrecision, type[np.float32] | type[np.float16]] = {"fp32": np.float32, "fp16": np.float16}


@dataclass(frozen=True)
class CalibrationSettings:
    """What a user chooses; defaults are the paper's (sections 3.4 and 4.2, Tables 5 and A4).

    Attributes:
        false_reject_rate: share of good parts that the thresholds may reject.
        coreset_ratio: share of the patches that a bank keeps.
        metric: the distance of bank, coreset and score alike.
        bank_precision: how banks hold their rows; fp16 takes half the memory of the line, and changes distances by its
            rounding (some 1e-4).
        normalization: whose statistics normalize features, see `fixed_statistics`.
        projection_eps: distortion of the sparse random projection the coreset is selected in, 0 to 1.
        n_neighbors: bank rows next to the nearest one that re-weight the image score.
        nu: of the fusion's one-class SVMs.
        svm_iterations: passes of their descent over the data.
        seed: of everything random.
    """

    false_reject_rate: float = 0.01
    coreset_ratio: float = 0.1
    metric: Metric = "l2"
    bank_precision: BankPrecision = "fp32"
    normalization: Normalization = "paper"
    projection_eps: float = 0.9
    n_neighbors: int = 2
    nu: float = 0.5
    svm_iterations: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values out of range.

        Raises:
            UsageError: names the setting and its range.
        """
        ranges = {"coreset_ratio": (0, 1), "nu": (0, 1), "n_neighbors": (0, 1 << 10), "svm_iterations": (0, 1 << 30)}
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low < value <= high:
                raise UsageError(f"{name} is {value}: must be above {low} and at most {high}")
        if not 0 < self.projection_eps < 1:
            raise UsageError(f"projection_eps is {self.projection_eps}: must lie between 0 and 1")


@dataclass(frozen=True)
class Side:
    """One modality's memory bank, and how every normal scan matches it when its own rows are left out."""

    bank: NormalizedBank
    matches: list[BankMatch]


@dataclass(frozen=True)
class Calibrated:
    """The outcome of a calibration, before it is written; `scores` are the normal scans', left out of the banks."""

    decision: Decision
    calibration: manifest_format.Calibration
    scores: npt.NDArray[np.float64]


def calibrate_bundle(
    bundle: Bundle,
    scans: Sequence[Path],
    settings: CalibrationSettings,
    out: Path,
    provider: str = "cpu",
    product: str | None = None,
    preprocessing: Preprocessing | None = None,
    progress: Progress = lambda *_: None,
    defective: Path | None = None,
    with_line_graph: bool | None = None,
) -> Manifest:
    """Calibrate a bundle on normal scans and write it, with golden scans that `cmdiad-rt selftest` repeats.

    Args:
        bundle: an exported bundle, calibrated before or not.
        scans: normal scans of the product (images where the main modality is RGB).
        settings: see `CalibrationSettings`.
        out: where the calibrated bundle goes; may be where it came from.
        provider: the execution provider the line will use.
        product: a new name for what the bundle inspects; None: unchanged.
        preprocessing: the parameters of another sensor; None: unchanged.
        progress: called with (stage, done, all, remark).
        defective: a scan with a defect, to be one of the golden scans; None: the normal scan that scored highest.
        with_line_graph: whether to write the fused graph; None: where it is small, see `add_line_graph`.

    Returns:
        The manifest as written.

    Raises:
        UsageError: too few scans, or a line graph is wanted that cannot be.
        ParityError: the line graph does not compute what the runtime does.
        ScanError: a scan cannot be read or used.
    """
    manifest = msgspec.structs.replace(
        bundle.manifest,
        product=product or bundle.manifest.product,
        preprocessing=preprocessing or bundle.manifest.preprocessing,
    )
    extractor = FeatureExtractor(bundle, provider)
    features = extract_features(manifest, extractor, scans, progress)
    calibrated = calibrate(manifest, extractor, features, data_digest(scans), settings, progress)
    banks, contents = encode_banks(calibrated.decision, manifest)
    manifest = msgspec.structs.replace(
        manifest,
        banks=banks,
        calibration=calibrated.calibration,
        provenance={
            **bundle.manifest.provenance,
            "calibration_provider": provider,
            **{f"version_{name}": version(name) for name in ("numpy", "scipy", "scikit-learn")},
        },
    )
    networks = {role: bundle.read(network.file) for role, network in manifest.networks.items()}
    wanted = line_graph_wanted(manifest, provider, with_line_graph)
    manifest, line = add_line_graph(manifest, networks, calibrated.decision, wanted)
    report = read_report(bundle).without(LINE_CHECK)
    if line:
        progress("line graph", 0, 1, "")
        graph = LineGraph(manifest, OnnxEngine(line[LINE], external={k: v for k, v in line.items() if k != LINE}))
        threshold = calibrated.calibration.threshold.value
        found = check_line_graph(graph, manifest, extractor, calibrated.decision, threshold, scans)
        report = report.and_also(found.require())
    contents |= {**line, **report.files()}
    rewrite_bundle(bundle, out, manifest, contents, dropped=[LINE, DATA, *bundle.manifest.bank_files()])
    return add_golden(out, golden_scans(scans, calibrated.scores, defective), provider)


def line_graph_wanted(manifest: Manifest, provider: str, wanted: bool | None) -> bool | None:
    """Never where the banks hold features of the CPU's own networks: the line graph is made of the others.

    Raises:
        UsageError: it was asked for.
    """
    if manifest.run_networks(provider) == manifest.networks:
        return wanted
    if wanted:
        raise UsageError(
            "there can be no line graph: these banks hold features of the int8 networks of the CPU provider: "
            "use --no-line-graph, or calibrate with the provider that will run it"
        )
    return False


def golden_scans(scans: Sequence[Path], scores: npt.NDArray[np.float64], defective: Path | None) -> dict[str, Path]:
    """The scans to record in the bundle: the normal one of median score, and the defective or highest-scoring one."""
    order = np.argsort(scores, kind="stable")
    normal, highest = scans[int(order[len(order) // 2])], scans[int(order[-1])]
    return {"normal": normal, **({"highest": highest} if defective is None else {"defective": defective})}


def extract_features(
    manifest: Manifest, extractor: FeatureExtractor, scans: Sequence[Path], progress: Progress
) -> list[PartFeatures]:
    """Features of every scan; a scan that cannot be used stops the calibration with its name."""
    if len(scans) < MIN_SCANS:
        raise UsageError(f"calibration needs at least {MIN_SCANS} normal scans, got {len(scans)}")
    features = []
    for number, scan in enumerate(scans, 1):
        with naming_scan(scan):
            features.append(extractor.extract(prepare_part(read_part(scan, manifest), manifest), StageTimes()))
        progress("features", number, len(scans), "")
    return features


def calibrate(
    manifest: Manifest,
    extractor: FeaturePath,
    features: Sequence[PartFeatures],
    digest: str,
    settings: CalibrationSettings,
    progress: Progress = lambda *_: None,
) -> Calibrated:
    """Banks, fusion and thresholds from the features of normal scans."""
    patchless_main, patchless_second = extractor.without_points(features[0].main.shape[1])
    fixed = fixed_statistics(manifest, settings)
    main = calibrate_side([each.main for each in features], patchless_main, settings, progress, fixed)
    second = None
    if route_of(manifest.route, manifest.main).second_bank is not None:
        rows = [each.second for each in features if each.second is not None]
        second = calibrate_side(rows, patchless_second, settings, progress, fixed)
    return combine([each.foreground for each in features], main, second, digest, settings)


def fixed_statistics(manifest: Manifest, settings: CalibrationSettings) -> Statistics | None:
    """The mean and standard deviation that both banks are normalized with; None where each has its own.

    The published code normalizes the two banks of its distillation routes with one pair of numbers: the mean of
    the points' features and the standard deviation of the image's. They are those of the training, as a line with
    one sensor cannot take both. A single bank, and the two of real features, have their own statistics.

    Raises:
        UsageError: the bundle does not carry them.
    """
    if settings.normalization == "paper" or not route_of(manifest.route, manifest.main).is_trained:
        return None
    known = manifest.training_statistics
    if not {"pc", "rgb"} <= known.keys():
        raise UsageError(
            "--normalization reference: the bundle does not carry the training's feature statistics: export it from "
            "a run of `cmdiad train`, or choose --normalization paper"
        )
    return Statistics(mean=known["pc"].mean, std=known["rgb"].std)


def calibrate_side(
    features: Sequence[Array],
    patchless: Array | None,
    settings: CalibrationSettings,
    progress: Progress,
    statistics: Statistics | None = None,
) -> Side:
    """One modality's bank, and every normal scan against it without the scan's own rows.

    Scores, fusion and thresholds that are learned from these matches are those of parts that were never seen.
    """
    bank = build_normalized_bank(features, patchless, settings, progress, statistics)
    matches = []
    for group, each in enumerate(features):
        matches.append(match_bank(bank, each, without_group=group))
        progress("scores", group + 1, len(features), "")
    return Side(bank, matches)


def combine(
    foregrounds: Sequence[npt.NDArray[np.bool_]],
    main: Side,
    second: Side | None,
    digest: str,
    settings: CalibrationSettings,
) -> Calibrated:
    """Learn the fusion and the thresholds from the normal scans' matches with one bank or two.

    Args:
        foregrounds: (3136,) bool of every scan.
        main: the main modality's side.
        second: the hallucinated or the other modality's side; None for a single bank.
        digest: of the scans.
        settings: see `CalibrationSettings`.
    """
    decision = Decision(main.bank, None, None)
    pairs: list[tuple[BankMatch, ...]] = [(match,) for match in main.matches]
    if second is not None:
        pairs = list(zip(main.matches, second.matches, strict=True))
        scores = np.array([[match.score for match in pair] for pair in pairs])
        pixels = np.concatenate([np.stack([match.distances for match in pair], axis=1) for pair in pairs])
        decision = Decision(
            main.bank, second.bank, fit_fusion(scores, pixels, settings.nu, settings.svm_iterations, settings.seed)
        )
    decided = [decision.decide(foreground, pair) for foreground, pair in zip(foregrounds, pairs, strict=True)]
    rate = settings.false_reject_rate
    scores = np.array([score for score, _ in decided])
    calibration = manifest_format.Calibration(
        n_scans=len(pairs),
        data_digest=digest,
        seed=settings.seed,
        coreset_ratio=settings.coreset_ratio,
        normalization=settings.normalization,
        projection_eps=settings.projection_eps,
        n_neighbors=settings.n_neighbors,
        nu=settings.nu,
        svm_iterations=settings.svm_iterations,
        threshold=threshold_from_good(scores, rate),
        pixel_threshold=threshold_from_good(np.array([float(each.max()) for _, each in decided]), rate),
    )
    return Calibrated(decision, calibration, scores)


def build_normalized_bank(
    features: Sequence[Array],
    patchless: Array | None,
    settings: CalibrationSettings,
    progress: Progress,
    statistics: Statistics | None = None,
) -> NormalizedBank:
    """Normalize, select the coreset, and tabulate the bank.

    The statistics are the features' own where none are given.

    The coreset holds `coreset_ratio` of all 3136 patches a scan, as in the paper; since the patches without
    points are all the same, one of them stands for all and the selection is unchanged.
    """
    pool = np.concatenate(features)
    groups = np.repeat(np.arange(len(features), dtype=np.int32), [len(each) for each in features])
    if statistics is None:
        statistics = Statistics(mean=float(pool.mean(dtype=np.float64)), std=float(pool.std(dtype=np.float64)))
    mean, std = statistics.mean, statistics.std
    if patchless is not None:
        pool = np.concatenate([patchless, pool])
        groups = np.concatenate([np.array([PATCHLESS_GROUP], np.int32), groups])
    pool = (pool - np.float32(mean)) / np.float32(std)
    count = min(len(pool), round(settings.coreset_ratio * N_PATCHES * len(features)))
    chosen = select_coreset(
        pool,
        count,
        seed=settings.seed,
        metric=settings.metric,
        eps=settings.projection_eps,
        progress=lambda done, total: progress("coreset", done, total, ""),
    )
    dtype = _BANK_DTYPES[settings.bank_precision]
    bank = build_bank(pool[chosen], settings.metric, settings.n_neighbors, groups[chosen], dtype)
    return NormalizedBank(bank, mean, std)


def encode_banks(decision: Decision, manifest: Manifest) -> tuple[dict[str, manifest_format.Bank], dict[str, Content]]:
    """The banks' manifest entries, and the files that they and the fusion become."""
    banks = [bank for bank in (decision.main, decision.second) if bank is not None]
    held = dict(zip(route_of(manifest.route, manifest.main).banks, banks, strict=True))
    entries: dict[str, manifest_format.Bank] = {}
    contents: dict[str, Content] = {}
    for role, normalized in held.items():
        stem = f"bank_{role}"
        arrays = normalized.bank.arrays()
        files = {name: f"{stem}.npy" if name == "rows" else f"{stem}_{name}.npy" for name in arrays}
        contents.update({files[name]: array for name, array in arrays.items()})
        bank: MemoryBank = normalized.bank
        entries[role] = manifest_format.Bank(
            files=files,
            n_rows=bank.rows.shape[0],
            dim=bank.rows.shape[1],
            metric=bank.metric,
            feature_mean=normalized.feature_mean,
            feature_std=normalized.feature_std,
        )
    if decision.fusion is not None:
        contents[FUSION] = encode_fusion(decision.fusion)
    return entries, contents
