"""Complete an exported bundle from normal scans: everything is computed, and then written in one go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image

from ..runtime.acceptance.golden import golden_files, recorded_verdicts
from ..runtime.banks.bank import MemoryBank
from ..runtime.bundle import manifest as manifest_format
from ..runtime.bundle.manifest import Manifest
from ..runtime.bundle.parameters import PartRange, Preprocessing, Threshold
from ..runtime.bundle.reading import Bundle
from ..runtime.bundle.writing import Content, changed_contents, draft_bundle, write_bundle
from ..runtime.engines.session import OnnxSession
from ..runtime.errors import UsageError
from ..runtime.files.atomic import atomic_write, require_writable
from ..runtime.line_graph import DATA, LINE, LineGraph
from ..runtime.patches.features import FeatureExtractor
from ..runtime.patches.routes import route_of
from ..runtime.preparation.raw_or_preprocessed import Settled
from ..runtime.progress import Progress
from ..runtime.sensor.dataset import joint_digest, place_of
from ..runtime.sensor.file_copies import refuse_copies
from ..runtime.sensor.in_memory import PartSource, source_digests
from ..runtime.sensor.part import Part
from ..runtime.verdict.decision import FUSION, Decision
from ..runtime.verdict.fusion import encode_fusion
from .calibrate import Calibrated, calibrate, extract_features, require_enough
from .calibration_settings import CalibrationSettings
from .golden_rounding import golden_contents
from .held_out import HeldOutScan, ranked, suspicions
from .known_defects import KnownDefect, clearest, defect_warnings, score_known_defects, with_known_defects
from .line_graph.building import add_line_graph
from .line_graph.checking import COMPARED as LINE_CHECK
from .line_graph.checking import check_line_graph
from .parity import read_report
from .survey import Survey, settled_preprocessing
from .threshold import far_threshold
from .unusable import naming_all_unusable


@dataclass(frozen=True)
class Completed:
    """The result of a calibration.

    Attributes:
        manifest: as written.
        scans: the normal scans.
        parts: (n) the scan of each normal part, or `SCAN#NUMBER` if scans show several.
        scan_of: (n) the number of each part's scan, from 0.
        scores: (n,) float64, the parts' scores, each without its own scan's patches in the banks.
        decision: why scans count as raw or as preprocessed, one sentence; empty for images.
        warnings: what should be looked at before these scans are called normal, a sentence each.
        sheet: (H, W, 3) uint8, a picture of up to 64 scans with what was taken as the part in each.
        maps: (224, 224) float32, the maps of the normal parts that score highest, by their number.
        known: the known defects, scored.
        golden: whether each recorded golden scan is defective, by name.
    """

    manifest: Manifest
    scans: tuple[PartSource, ...]
    parts: tuple[PartSource | str, ...]
    scan_of: tuple[int, ...]
    scores: npt.NDArray[np.float64]
    decision: str
    warnings: tuple[str, ...]
    sheet: npt.NDArray[np.uint8]
    maps: dict[int, npt.NDArray[np.float32]]
    known: tuple[KnownDefect, ...] = ()
    golden: dict[str, bool] = field(default_factory=dict)

    @classmethod
    def of(cls, learned: Learned, written: Manifest, contents: Mapping[str, Content]) -> Completed:
        """The result of what was learned, after it was written."""
        calibrated, settled, survey = learned.calibrated, learned.settled, learned.survey
        warnings = (
            *settled.warnings,
            *survey.warnings(),
            *suspicions(survey.parts, calibrated.scores),
            *far_threshold(calibrated.scores, calibrated.calibration.threshold),
            *defect_warnings(learned.known),
            *learned.remarks,
        )
        return cls(
            manifest=written,
            scans=learned.scans,
            parts=tuple(survey.parts),
            scan_of=tuple(survey.scan_of),
            scores=calibrated.scores,
            decision=settled.reason,
            warnings=warnings,
            sheet=survey.sheet(),
            maps=calibrated.maps,
            known=learned.known,
            golden=recorded_verdicts(contents),
        )

    @property
    def threshold(self) -> Threshold:
        """The threshold of the score."""
        assert self.manifest.calibration is not None
        return self.manifest.calibration.threshold

    def write_sheet(self, bundle: Path) -> Path:
        """Write the sheet as NAME_parts.png beside a bundle.

        Raises:
            CmdiadError: it cannot be written.
        """
        path = bundle.with_name(f"{bundle.resolve().stem}_parts.png")
        with atomic_write(path) as stream:
            Image.fromarray(self.sheet).save(stream, "PNG")
        return path

    def highest(self, count: int) -> list[tuple[PartSource | str, float]]:
        """The normal parts with the highest scores: a defective one hidden among them shows up here."""
        return [(part.scan, part.score) for part in self.ranked()[:count]]

    def ranked(self) -> list[HeldOutScan]:
        """All normal parts, the highest score first, each with whether it is suspicious."""
        return ranked(self.parts, self.scores)


@dataclass(frozen=True)
class Learned:
    """What normal scans taught, before anything is written.

    Attributes:
        scans: the normal scans.
        manifest: the bundle's, with product and preprocessing settled.
        settled: whether the scans are raw, and why.
        extractor: the bundle's networks, opened.
        survey: what the scans show of their parts.
        calibrated: banks, fusion and thresholds.
        part: how large parts may be taken to be.
        known: the known defects, scored with the new banks.
        remarks: what else should be looked at, a sentence each.
    """

    scans: tuple[PartSource, ...]
    manifest: Manifest
    settled: Settled
    extractor: FeatureExtractor
    survey: Survey
    calibrated: Calibrated
    part: PartRange
    known: tuple[KnownDefect, ...] = ()
    remarks: tuple[str, ...] = ()


def calibrate_bundle(
    bundle: Bundle,
    scans: Sequence[PartSource],
    settings: CalibrationSettings,
    out: Path,
    provider: str = "cpu",
    product: str | None = None,
    preprocessing: Preprocessing | None = None,
    progress: Progress = lambda *_: None,
    defective: Sequence[PartSource] = (),
    with_line_graph: bool | None = None,
) -> Completed:
    """Calibrate a bundle on normal scans and write it, with golden scans that `cmdiad-rt selftest` repeats.

    Args:
        bundle: an exported bundle, calibrated before or not.
        scans: normal scans of the product (images where the main modality is RGB), as files or in memory.
        settings: see `CalibrationSettings`.
        out: where the calibrated bundle goes; may be where it came from.
        provider: the execution provider the line will use.
        product: what the bundle inspects; None: the class whose train/good the scans are, else unchanged.
        preprocessing: the parameters of another sensor; None: unchanged, but raw or preprocessed is decided anew.
        progress: called with (stage, done, all, remark).
        defective: known defects, which place the threshold; the clearest is a golden scan, else the highest normal one.
        with_line_graph: whether to write the fused graph; None: where it is small, see `add_line_graph`.

    Raises:
        UsageError: too few scans, or a line graph is wanted that cannot be.
        ParityError: the line graph does not compute what the runtime does.
        ScanError: scans cannot be read or used; it names them.
        OutputError: nothing can be written at `out`.
    """
    require_enough(scans)
    require_writable(out)
    asked = preprocessing or bundle.manifest.preprocessing.undecided()
    with naming_all_unusable(msgspec.structs.replace(bundle.manifest, preprocessing=asked), scans, progress):
        learned = _learn(bundle, scans, settings, provider, product, asked, progress, defective)
    shown = clearest(learned.known)
    manifest, contents = completed_contents(bundle, learned, provider, shown, with_line_graph, progress)
    return Completed.of(learned, write_bundle(out, manifest, contents), contents)


def _learn(
    bundle: Bundle,
    scans: Sequence[PartSource],
    settings: CalibrationSettings,
    provider: str,
    product: str | None,
    asked: Preprocessing,
    progress: Progress,
    defective: Sequence[PartSource],
) -> Learned:
    """Settle how the scans are prepared, and learn from them; see `calibrate_bundle`."""
    digests = source_digests(scans)
    refuse_copies(scans, digests)
    settled = settled_preprocessing(bundle.manifest, asked, scans, progress)
    named = product or product_of(scans)
    manifest = msgspec.structs.replace(
        bundle.manifest,
        format_version=manifest_format.FORMAT_VERSION,
        product=named or bundle.manifest.product,
        preprocessing=settled.preprocessing,
    )
    extractor, survey = FeatureExtractor(bundle, provider), Survey(scans)
    features = extract_features(manifest, extractor, scans, survey, progress)
    calibrated = calibrate(manifest, extractor, features, joint_digest(digests), settings, progress, survey.scan_of)
    part = survey.part_range()
    known = score_known_defects(defective, survey.known, manifest, extractor, calibrated.decision, part, progress)
    calibrated = with_known_defects(calibrated, known)
    remarks = () if named else _kept_name(bundle.manifest)
    return Learned(tuple(scans), manifest, settled, extractor, survey, calibrated, part, known, remarks)


def _kept_name(before: Manifest) -> tuple[str, ...]:
    """A doubt about the product's name where a bundle was calibrated before, perhaps for another product."""
    if before.calibration is None:
        return ()
    return (
        f"the bundle keeps the name {before.product!r} of the product that it was calibrated for before: if these "
        "scans are of another product, give --product NAME",
    )


def completed_contents(
    bundle: Bundle,
    learned: Learned,
    provider: str,
    defective: PartSource | Part | None,
    with_line_graph: bool | None,
    progress: Progress,
) -> tuple[Manifest, dict[str, Content]]:
    """The manifest and files of the calibrated bundle, old ones that they replace left out."""
    manifest, banks = _with_banks(learned, provider)
    wanted = _line_graph_wanted(manifest, provider, with_line_graph)
    manifest, line = _with_line(bundle, manifest, learned, wanted, progress)
    old = [LINE, DATA, *bundle.manifest.bank_files(), *golden_files(bundle.manifest)]
    contents = changed_contents(bundle, {**banks, **line}, dropped=old)
    progress("golden scans", 0, 1, "")
    draft = draft_bundle(bundle.path, manifest, contents)
    scans = [learned.scans[scan] for scan in learned.survey.scan_of]
    contents |= golden_contents(draft, golden_scans(scans, learned.calibrated.scores, defective))
    progress("golden scans", 1, 1, "")
    return manifest, contents


def product_of(scans: Sequence[PartSource]) -> str | None:
    """The class of a dataset whose parts these are, if all are files of one; None elsewhere.

    Raises:
        ScanError: a mask of Eyecandies, which tell its defects, cannot be read.
    """
    places = [place_of(scan) if isinstance(scan, Path) else None for scan in scans]
    classes = {None if place is None else place.class_folder.resolve().name for place in places}
    return classes.pop() if len(classes) == 1 else None


def _with_banks(learned: Learned, provider: str) -> tuple[Manifest, dict[str, Content]]:
    """The manifest with the banks and the calibration, and the banks' files."""
    manifest, calibrated = learned.manifest, learned.calibrated
    banks, contents = _encode_banks(calibrated.decision, manifest)
    versions = {f"version_{name}": version(name) for name in ("numpy", "scipy", "scikit-learn")}
    manifest = msgspec.structs.replace(
        manifest,
        banks=banks,
        calibration=msgspec.structs.replace(
            calibrated.calibration,
            part=learned.part,
            health=learned.survey.health(calibrated.scores.tolist()),
        ),
        provenance={**manifest.provenance, "calibration_provider": provider, **versions},
    )
    return manifest, contents


def _with_line(
    bundle: Bundle, manifest: Manifest, learned: Learned, wanted: bool | None, progress: Progress
) -> tuple[Manifest, dict[str, Content]]:
    """The manifest with the fused graph, where there is to be one, and its files with the report of its check.

    Raises:
        ParityError: it does not compute what the runtime does.
    """
    calibrated = learned.calibrated
    networks = {role: bundle.read(network.file) for role, network in manifest.networks.items()}
    manifest, line = add_line_graph(manifest, networks, calibrated.decision, wanted)
    report = read_report(bundle).without(LINE_CHECK)
    if line:
        progress("line graph", 0, 1, "")
        external = {file: content for file, content in line.items() if file != LINE}
        graph = LineGraph.on_host(manifest, OnnxSession(line[LINE], external=external), calibrated.decision)
        threshold = calibrated.calibration.threshold.value
        check = check_line_graph(graph, manifest, learned.extractor, calibrated.decision, threshold, learned.scans)
        report = report.and_also(check.require())
        progress("line graph", 1, 1, "")
    return manifest, {**line, **report.files()}


def _line_graph_wanted(manifest: Manifest, provider: str, wanted: bool | None) -> bool | None:
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


def golden_scans(
    scans: Sequence[PartSource], scores: npt.NDArray[np.float64], defective: PartSource | Part | None
) -> dict[str, PartSource | Part]:
    """The scans to record in the bundle: the normal one of median score, and the defective or highest-scoring one.

    Args:
        scans: of every part.
        scores: (n,) float64, the parts'.
        defective: None: the highest-scoring one.
    """
    order = np.argsort(scores, kind="stable")
    normal, highest = scans[int(order[len(order) // 2])], scans[int(order[-1])]
    return {"normal": normal, **({"highest": highest} if defective is None else {"defective": defective})}


def _encode_banks(decision: Decision, manifest: Manifest) -> tuple[dict[str, manifest_format.Bank], dict[str, Content]]:
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
