"""Bring a calibrated bundle up to date from recent good parts, on the line's own machine; the old one stays."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import msgspec
import numpy as np

from ..runtime.acceptance.golden import read_case
from ..runtime.bundle import manifest as manifest_format
from ..runtime.bundle.manifest import Calibration
from ..runtime.bundle.parameters import Placement
from ..runtime.bundle.reading import Bundle, open_bundle, require_calibration
from ..runtime.bundle.writing import ARCHIVE_SUFFIX, write_bundle
from ..runtime.errors import UsageError
from ..runtime.files.atomic import require_writable
from ..runtime.files.audit import AUDIT_FILE, AuditedScan, AuditEntry, append_audit, verify_audit
from ..runtime.patches.features import FeatureExtractor, PartFeatures
from ..runtime.patches.routes import MAIN, route_of
from ..runtime.preparation.part_range import joined
from ..runtime.preparation.raw_or_preprocessed import Settled
from ..runtime.progress import Progress
from ..runtime.sensor.dataset import file_digests, joint_digest
from ..runtime.sensor.file_copies import refuse_copies
from ..runtime.sensor.part import Part
from ..runtime.verdict.decision import Decision
from .bank_merging import merged_side
from .calibrate import (
    Calibrated,
    calibrate,
    combine,
    extract_features,
    naming_bank,
    require_enough,
)
from .calibrated_bundle import Completed, Learned, completed_contents
from .calibration_settings import CalibrationSettings
from .known_defects import clearest, score_known_defects, with_known_defects
from .repeats import refuse_known, share_on_rows
from .survey import Survey
from .unusable import naming_all_unusable
from .update_comparison import ScanUnderBoth, UpdateComparison, compared, defective_case

_DATED = re.compile(r"-\d{8}(-\d+)?$")


@dataclass(frozen=True)
class UpdateRequest:
    """What a user asks of an update.

    Attributes:
        scans: recent good parts.
        out: where the new bundle goes; nothing may lie there.
        replace: whether banks hold nothing but these scans; else the old rows too.
        accepted: of the scans that the old bundle rejects, those that are good all the same: paths, or names that one
            has alone.
        provider: the execution provider that the line uses; None: that of the calibration before.
        defective: known defects, which place the threshold anew, and of which the clearest is a golden scan; without
            any that is the old bundle's, if it has one, and the normal scans alone give the threshold.
        with_line_graph: whether to write the fused graph; None: where the old bundle has it.
        command: as it was typed, for the audit trail.
    """

    scans: tuple[Path, ...]
    out: Path
    replace: bool = False
    accepted: tuple[str, ...] = ()
    provider: str | None = None
    defective: tuple[Path, ...] = ()
    with_line_graph: bool | None = None
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class Updated:
    """A bundle that was updated.

    Attributes:
        completed: as a calibration has it.
        comparison: with the old bundle.
        audit: the trail that has the new entry.
    """

    completed: Completed
    comparison: UpdateComparison
    audit: Path


def update_bundle(bundle: Bundle, request: UpdateRequest, progress: Progress = lambda *_: None) -> Updated:
    """Learn from recent good parts, and write a new bundle beside the old one, with an entry in `audit.jsonl` there.

    Networks, preprocessing and settings are the old bundle's. Thresholds, fusion and the health baseline come from the
    recent parts alone, each scored without its own rows in the banks: of old parts only the coreset is left. The same
    bundle, scans and request give the same bytes.

    Args:
        bundle: calibrated.
        request: what is asked for.
        progress: called with (stage, done, all, remark).

    Raises:
        UsageError: too few scans, copies among them, one that the old bundle rejects, or something lies at `out`.
        ScanError: a scan cannot be used, or shows no such part as the old bundle was calibrated for.
        BundleError: the old bundle is not calibrated, or the audit trail was changed.
        OutputError: nothing can be written there.
    """
    old = require_calibration(bundle)
    audit = request.out.absolute().parent / AUDIT_FILE
    _require_free(bundle, request)
    verify_audit(audit)
    provider = request.provider or bundle.manifest.provenance.get("calibration_provider", "cpu")
    with naming_all_unusable(bundle.manifest, request.scans, progress, old.part):
        digests = file_digests(request.scans)
        refuse_copies(request.scans, digests)
        learned, before = _learn(bundle, old, request, provider, digests, progress)
    defective = clearest(learned.known) or _defective_part(bundle)
    has_line = bundle.manifest.line_graph is not None if request.with_line_graph is None else request.with_line_graph
    manifest, contents = completed_contents(bundle, learned, provider, defective, has_line, progress)
    write_bundle(request.out, manifest, contents)
    after = open_bundle(request.out)
    new = require_calibration(after)
    comparison = compared(bundle, after, old, new, _under_both(learned.survey, before, learned.calibrated))
    append_audit(audit, _entry(request, digests, comparison))
    completed = Completed.of(learned, after.manifest, contents)
    if old.threshold.placement is not None and not request.defective:
        completed = replace(completed, warnings=(*completed.warnings, _unplaced(old.threshold.placement)))
    return Updated(completed, comparison, audit)


def dated_name(bundle: Path, day: date) -> Path:
    """Where an updated bundle goes unless the user says: NAME-YYYYMMDD, and -2, -3, ... where that is taken.

    Example:
        >>> dated_name(Path("lid-20260102.cmdiad"), date(2026, 11, 28)).name
        'lid-20261128.cmdiad'
    """
    place = bundle.resolve()
    suffix = place.suffix if place.suffix == ARCHIVE_SUFFIX else ""
    stem = _DATED.sub("", place.name.removesuffix(suffix))
    stamp, number = f"{stem}-{day:%Y%m%d}", 1
    while (free := place.with_name(f"{stamp}{f'-{number}' if number > 1 else ''}{suffix}")).exists():
        number += 1
    return free


def settings_of(bundle: Bundle, calibration: Calibration) -> CalibrationSettings:
    """What a bundle was calibrated with."""
    bank = bundle.manifest.banks[MAIN]
    return CalibrationSettings(
        false_reject_rate=calibration.threshold.false_reject_rate,
        coreset_ratio=calibration.coreset_ratio,
        metric=bank.metric,
        bank_precision="fp16" if bundle.array(bank.files["rows"]).dtype == np.float16 else "fp32",
        normalization=calibration.normalization,
        projection_eps=calibration.projection_eps,
        n_neighbors=calibration.n_neighbors,
        score=calibration.score,
        neighborhood=calibration.neighborhood,
        nu=calibration.nu,
        svm_iterations=calibration.svm_iterations,
        seed=calibration.seed,
    )


def _unplaced(placement: Placement) -> str:
    return (
        f"the old threshold was placed by {placement.n_known} known defects, of which a bundle keeps the digests "
        "alone; the new one comes from the normal scans: give the defects again with --defective"
    )


def _defective_part(bundle: Bundle) -> Part | None:
    case = defective_case(bundle)
    return None if case is None else read_case(bundle, case)


def _require_free(bundle: Bundle, request: UpdateRequest) -> None:
    """Refuse before the work what could not end well."""
    require_enough(request.scans)
    require_writable(request.out)
    if request.out.exists() or request.out.is_symlink():
        raise UsageError(f"{request.out}: already exists, and an update replaces nothing: give --out another name")
    if request.out.suffix != ARCHIVE_SUFFIX and request.out.absolute().is_relative_to(bundle.path.absolute()):
        raise UsageError(f"{request.out}: is inside the bundle that is updated: give --out a name outside it")


def _learn(
    bundle: Bundle,
    old: Calibration,
    request: UpdateRequest,
    provider: str,
    digests: Sequence[bytes],
    progress: Progress,
) -> tuple[Learned, list[tuple[float, bool]]]:
    """What the recent scans teach, and every one's score and verdict by the old bundle."""
    extractor, survey, digest = FeatureExtractor(bundle, provider), Survey(request.scans), joint_digest(digests)
    features = extract_features(bundle.manifest, extractor, request.scans, survey, progress, old.part)
    decision = Decision.load(bundle)
    before = _under_old(request, survey, old, decision, features)
    settings = settings_of(bundle, old)
    if request.replace:
        calibrated = calibrate(bundle.manifest, extractor, features, digest, settings, progress, survey.scan_of)
    else:
        both = hashlib.sha256(f"{old.data_digest} {digest}".encode()).hexdigest()
        calibrated = _merged(bundle, decision, features, both, settings, progress, survey.scan_of)
    manifest = msgspec.structs.replace(
        bundle.manifest,
        format_version=manifest_format.FORMAT_VERSION,
        provenance={
            **bundle.manifest.provenance,
            "updated_from": bundle.manifest.digest,
            "updated_banks": "replaced" if request.replace else "merged",
        },
    )
    seen, bad = survey.part_range(), request.defective
    part = seen if request.replace or old.part is None else joined(old.part, seen)
    known = score_known_defects(bad, survey.known, manifest, extractor, calibrated.decision, part, progress)
    calibrated = with_known_defects(calibrated, known)
    settled = Settled(bundle.manifest.preprocessing, "")
    return Learned(request.scans, manifest, settled, extractor, survey, calibrated, part, known), before


def _under_old(
    request: UpdateRequest, survey: Survey, old: Calibration, decision: Decision, features: Sequence[PartFeatures]
) -> list[tuple[float, bool]]:
    """Every recent part's score and verdict by the old bundle, which must not reject it, nor have it in its banks."""
    try:
        matches = [decision.match(part) for part in features]
    finally:
        decision.close()
    scores = [decision.decide(part.foreground, match)[0] for part, match in zip(features, matches, strict=True)]
    before = [(score, score > old.threshold.value) for score in scores]
    _refuse_rejected(request, survey, before, old.threshold.value)
    if not request.replace:
        own = [part.averaged(old.neighborhood).main for part in features]
        shares = [
            share_on_rows(decision.main, rows, match[0].distances) for rows, match in zip(own, matches, strict=True)
        ]
        refuse_known([str(part) for part in survey.parts], shares, old.coreset_ratio)
    return before


def _merged(
    bundle: Bundle,
    decision: Decision,
    features: Sequence[PartFeatures],
    digest: str,
    settings: CalibrationSettings,
    progress: Progress,
    scan_of: Sequence[int],
) -> Calibrated:
    """Banks with the old rows and the recent ones; fusion and thresholds from the recent parts."""
    features = [part.averaged(settings.neighborhood) for part in features]
    own = [part.main for part in features]
    main = merged_side(decision.main, own, settings, naming_bank(progress, MAIN), scan_of)
    second = None
    role = route_of(bundle.manifest.route, bundle.manifest.main).second_bank
    if role is not None and decision.second is not None:
        rows = [part.second for part in features if part.second is not None]
        second = merged_side(decision.second, rows, settings, naming_bank(progress, role), scan_of)
    return combine([part.foreground for part in features], main, second, digest, settings)


def _refuse_rejected(
    request: UpdateRequest, survey: Survey, before: Sequence[tuple[float, bool]], threshold: float
) -> None:
    """A part that the old bundle rejects is learned from only where somebody vouches for its scan by name."""
    accepted = {scan_named(name, request.scans) for name in request.accepted}
    refused = [
        f"{part} ({score:.4g})"
        for part, scan, (score, is_defect) in zip(survey.parts, survey.scan_of, before, strict=True)
        if is_defect and request.scans[scan] not in accepted
    ]
    if refused:
        raise UsageError(
            f"the old bundle rejects {len(refused)} of {len(before)} scans that nobody vouches for (threshold "
            f"{threshold:.4g}): "
            f"{', '.join(refused)}: look at them, leave defective parts out, and name good ones with --accept-defective"
        )


def scan_named(name: str, scans: Sequence[Path]) -> Path:
    """The one scan of a path or name.

    Raises:
        UsageError: there is none, or there are several.
    """
    named = [scan for scan in scans if str(scan) == name] or [scan for scan in scans if scan.name == name]
    if len(named) != 1:
        which = f"{len(named)} scans have this name" if named else "is not one of the scans"
        raise UsageError(f"--accept-defective {name}: {which}: give the path of one")
    return named[0]


def _under_both(survey: Survey, before: Sequence[tuple[float, bool]], calibrated: Calibrated) -> list[ScanUnderBoth]:
    threshold = calibrated.calibration.threshold.value
    return [
        ScanUnderBoth(str(part), score, is_defect, float(after), bool(after > threshold))
        for part, (score, is_defect), after in zip(survey.parts, before, calibrated.scores, strict=True)
    ]


def _entry(request: UpdateRequest, digests: Sequence[bytes], comparison: UpdateComparison) -> AuditEntry:
    scans = [
        AuditedScan(name=str(scan), sha256=digest.hex()) for scan, digest in zip(request.scans, digests, strict=True)
    ]
    return AuditEntry.now(
        "update",
        request.command,
        comparison.digest_before,
        comparison.digest_after,
        scans,
        {
            "bundle": str(request.out),
            "banks": "replaced" if request.replace else "merged",
            "accepted_defective": ", ".join(request.accepted),
            "threshold_before": repr(comparison.threshold_before.value),
            "threshold_after": repr(comparison.threshold_after.value),
        },
    )
