"""The parity gate: what was produced computes what it was produced from, in numbers and in decisions.

Every difference is judged element by element: |actual - expected| <= atol * scale + rtol * |expected|, where scale is
the largest |expected| of the tensor, or what else a check says (the threshold, for scores), and a value that is not
finite fails. A report of all that was compared goes into the bundle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from ..runtime.bundle.reading import Bundle
from ..runtime.errors import BundleError, ParityError
from ..runtime.files.json_encoding import decode_json, encode_json_file, encode_text
from ..runtime.sensor.in_memory import PartSource
from ..runtime.verdict.auroc import auroc
from .detection_scores import aupro

REPORT = "parity.json"
TEXT = "parity.txt"
LARGEST_VALUE = "its largest value"

Array = npt.NDArray[Any]


class Tolerance(msgspec.Struct, frozen=True, kw_only=True):
    """What a precision may change.

    Attributes:
        atol, rtol: of a network's outputs, see the module.
        score: largest change of a score, as a share of the threshold or of the score, whichever is larger.
        rank_correlation: the least Spearman correlation of the scores.
        metric: largest change of I-AUROC and AUPRO.
    """

    atol: float
    rtol: float
    score: float
    rank_correlation: float = 0.99
    metric: float = 0.005


# A score jumps where rounding makes another patch the farthest, however fine the precision: by up to 2.7 % in fp16,
# when the features themselves are off by 0.1 % (benchmarks/studies/precision.py). Verdicts and ranks are judged too.
TOLERANCES: Mapping[str, Tolerance] = {
    "fp32": Tolerance(atol=5e-5, rtol=5e-5, score=1e-4),
    "fp16": Tolerance(atol=1e-2, rtol=1e-2, score=5e-2),
    "bf16": Tolerance(atol=8e-2, rtol=8e-2, score=1e-1, metric=0.02),
    "int8": Tolerance(atol=1e-1, rtol=1e-1, score=1e-1),
}


class TensorCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor of one stage over all scans.

    Attributes:
        compared: what against what, such as `onnx against torch`.
        stage: the network's role, or the fused graph.
        tensor: its name.
        scans: how many.
        largest: the largest |actual - expected| / scale.
        atol, rtol: what was allowed.
        scale: what `largest` and atol are a share of.
        excess: the largest ratio of a difference to what is allowed; above 1 fails, infinite where not finite.
        worst: the scan of the largest.
        first_off: the first layer of the graph that is off, where the check failed.
    """

    compared: str
    stage: str
    tensor: str
    scans: int
    largest: float
    atol: float
    rtol: float
    excess: float
    worst: str
    scale: str = LARGEST_VALUE
    first_off: str = ""

    @property
    def passed(self) -> bool:
        """Whether every element of every scan is within the tolerance."""
        return self.excess <= 1


class DecisionCheck(msgspec.Struct, frozen=True, kw_only=True):
    """The verdicts over all scans.

    Attributes:
        compared: what against what.
        scans: how many.
        flipped: the scans whose verdict changed.
        score_change: the largest change of a score, relative to the larger of score and threshold.
        worst: its scan.
        rank_correlation: Spearman's, of the scores; None where there are fewer than three, or no two that differ by
            more than is allowed.
        i_auroc_change, aupro_change: None where the scans carry no labels or only one, or where a score
            or map is not finite.
        tolerance: what was allowed.
        pairs: of a normal and a defective scan, which I-AUROC counts.
    """

    compared: str
    scans: int
    flipped: list[str]
    score_change: float
    worst: str
    rank_correlation: float | None
    i_auroc_change: float | None = None
    aupro_change: float | None = None
    tolerance: Tolerance
    pairs: int = 0

    @property
    def passed(self) -> bool:
        """Whether no verdict changed and every figure is within its limit."""
        return all(within for _, within in self.findings())

    def findings(self) -> list[tuple[str, bool]]:
        """Every figure in words, with its limit, and whether it is within it."""
        flipped = f"flipped: {', '.join(self.flipped)}" if self.flipped else "no verdict flipped"
        score = f"largest change of a score {self.score_change:.2e} on {self.worst}"
        findings = [
            (f"{score} (allowed {self.tolerance.score:.0e})", self.score_change <= self.tolerance.score),
            (flipped, not self.flipped),
        ]
        if self.rank_correlation is not None:
            least = self._least_correlation()
            text = f"rank correlation {self.rank_correlation:.4f} (at least {least:.4f})"
            findings.append((text, self.rank_correlation >= least))
        if self.i_auroc_change is not None:
            limit = self._largest_i_auroc_change()
            of = f", one of {self.pairs} pairs" if limit > self.tolerance.metric else ""
            text = f"I-AUROC change {self.i_auroc_change:.4f} (allowed {limit:.4f}{of})"
            findings.append((text, abs(self.i_auroc_change) <= limit))
        if self.aupro_change is not None:
            text = f"AUPRO change {self.aupro_change:.4f} (allowed {self.tolerance.metric:.4f})"
            findings.append((text, abs(self.aupro_change) <= self.tolerance.metric))
        return findings

    def _largest_i_auroc_change(self) -> float:
        """The tolerance's, but that of one exchanged pair where few scans make that the smallest change."""
        one_pair = 1 / self.pairs if self.pairs else 0.0
        return max(self.tolerance.metric, one_pair + 1e-9)

    def _least_correlation(self) -> float:
        """The tolerance's, but that of one exchange of neighbors where few scans make that the smallest change."""
        one_exchange = 1 - 12 / (self.scans * (self.scans**2 - 1))
        return min(self.tolerance.rank_correlation, one_exchange - 1e-9)


class ParityReport(msgspec.Struct, frozen=True, kw_only=True):
    """All that was compared; `accepted` is the reason why what failed was written all the same."""

    tensors: list[TensorCheck] = []
    decisions: list[DecisionCheck] = []
    accepted: str = ""

    @property
    def checks(self) -> list[TensorCheck | DecisionCheck]:
        """Those of tensors, then those of decisions."""
        return [*self.tensors, *self.decisions]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    def and_also(self, other: ParityReport) -> ParityReport:
        """Both reports' checks; a newer check takes the place of an older one of the same comparison."""
        kept = self.without(*(check.compared for check in other.checks))
        return ParityReport(
            tensors=[*kept.tensors, *other.tensors],
            decisions=[*kept.decisions, *other.decisions],
            accepted="; ".join(dict.fromkeys(filter(None, (self.accepted, other.accepted)))),
        )

    def without(self, *compared: str) -> ParityReport:
        """The report without these comparisons."""
        return msgspec.structs.replace(
            self,
            tensors=[check for check in self.tensors if check.compared not in compared],
            decisions=[check for check in self.decisions if check.compared not in compared],
        )

    def as_text(self) -> str:
        """One line a check."""
        lines = [*map(_tensor_line, self.tensors), *map(_decision_line, self.decisions)]
        if self.accepted:
            lines.append(f"accepted all the same, because: {self.accepted}")
        return "\n".join(lines) + "\n"

    def files(self) -> dict[str, bytes]:
        """The report as it lies in the bundle, as JSON and as text."""
        return {REPORT: encode_json_file(self, order="sorted"), TEXT: encode_text(self.as_text())}

    def require(self, accept: str = "") -> ParityReport:
        """The report, if everything passed or what did not is accepted for a reason.

        Raises:
            ParityError: names the worst check.
        """
        if self.passed:
            return self
        if accept:
            return msgspec.structs.replace(self, accepted=accept)
        failed = [_tensor_line(check) for check in self.tensors if not check.passed]
        failed += [_decision_line(check) for check in self.decisions if not check.passed]
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise ParityError(f"{failed[0]}{more}: nothing was written; --accept REASON writes it all the same")


def read_report(bundle: Bundle) -> ParityReport:
    """A bundle's report; an empty one where it has none.

    Raises:
        BundleError: it cannot be read.
    """
    if REPORT not in bundle.manifest.files:
        return ParityReport()
    try:
        return decode_json(bundle.read(REPORT), ParityReport)
    except msgspec.MsgspecError as cause:
        raise BundleError(
            f"{bundle.path}: {REPORT} is not a parity report ({cause}): export the bundle again"
        ) from cause


def scan_name(scan: PartSource) -> str:
    """A scan's name in a report: its file and the folders that tell it from others, nothing of this machine.

    Example:
        >>> scan_name(Path("/data/bagel/test/crack/xyz/000.tiff"))
        'crack/xyz/000.tiff'
    """
    return "/".join(Path(str(scan)).parts[-3:])


def excess(actual: Array, expected: Array, tolerance: Tolerance, scale: float | None = None) -> tuple[float, float]:
    """The largest difference relative to the scale, and the largest ratio to what is allowed; inf if not finite.

    Without a scale it is the largest expected value.

    Example:
        >>> excess(np.array([1.0, 2.5]), np.array([1.0, 2.0]), Tolerance(atol=0.1, rtol=0.0, score=0.1))
        (0.25, 2.5)
    """
    if actual.shape != expected.shape or not np.isfinite(actual).all() or not np.isfinite(expected).all():
        return float("inf"), float("inf")
    scale = scale or float(np.abs(expected).max(initial=0)) or 1.0
    difference = np.abs(actual.astype(np.float64) - expected)
    allowed = tolerance.atol * scale + tolerance.rtol * np.abs(expected)
    return float(difference.max(initial=0)) / scale, float((difference / allowed).max(initial=0))


def check_tensor(
    compared: str,
    stage: str,
    tensor: str,
    pairs: Mapping[str, tuple[Array, Array]],
    tolerance: Tolerance,
    scales: Mapping[str, float] | None = None,
    scale: str = LARGEST_VALUE,
) -> TensorCheck:
    """Compare one tensor over scans.

    Args:
        compared: what against what.
        stage: where it is computed.
        tensor: its name.
        pairs: (actual, expected) by the name of the scan.
        tolerance: what is allowed.
        scales: what atol is a share of, by the name of the scan; None: the largest expected value of each.
        scale: what that is called.
    """
    known = scales or {}
    measured = {scan: excess(*pair, tolerance, known.get(scan)) for scan, pair in pairs.items()}
    worst = max(measured, key=lambda scan: measured[scan][1])
    return TensorCheck(
        compared=compared,
        stage=stage,
        tensor=tensor,
        scans=len(measured),
        largest=max(difference for difference, _ in measured.values()),
        atol=tolerance.atol,
        rtol=tolerance.rtol,
        excess=measured[worst][1],
        worst=worst,
        scale=scale,
    )


def check_decisions(
    compared: str,
    scans: Sequence[str],
    actual: npt.ArrayLike,
    expected: npt.ArrayLike,
    threshold: float,
    tolerance: Tolerance,
    labels: npt.ArrayLike | None = None,
    maps: tuple[Sequence[Array], Sequence[Array], Sequence[Array]] | None = None,
) -> DecisionCheck:
    """Compare the scores of scans, and the verdicts that follow from them.

    Args:
        compared: what against what.
        scans: the scans' names.
        actual, expected: (n,) scores.
        threshold: the score above which a part is defective.
        tolerance: what is allowed.
        labels: (n,) true where the part is known to be defective; None where that is not known.
        maps: actual and expected maps and the masks of the defects, for AUPRO; None where there are no masks.
    """
    ours, theirs = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    change = _score_changes(ours, theirs, threshold, () if maps is None else maps[0])
    worst = int(change.argmax())
    finite = bool(np.isfinite(change).all())
    known = np.zeros(len(scans), bool) if labels is None else np.asarray(labels, bool)
    both = finite and bool(known.any()) and not known.all()
    masked = finite and maps is not None and any(bool(np.any(mask)) for mask in maps[2])
    return DecisionCheck(
        compared=compared,
        scans=len(scans),
        flipped=[scans[i] for i in np.flatnonzero((ours > threshold) != (theirs > threshold)).tolist()],
        score_change=float(change[worst]),
        worst=scans[worst],
        rank_correlation=_rank_correlation(ours, theirs, tolerance.score * threshold),
        i_auroc_change=auroc(ours, known) - auroc(theirs, known) if both else None,
        aupro_change=aupro(maps[0], maps[2]) - aupro(maps[1], maps[2]) if maps is not None and masked else None,
        tolerance=tolerance,
        pairs=int(known.sum() * (~known).sum()),
    )


def _score_changes(
    actual: npt.NDArray[np.float64], expected: npt.NDArray[np.float64], threshold: float, maps: Sequence[Array]
) -> npt.NDArray[np.float64]:
    """(n,) changes of scores relative to the larger of score and threshold; inf where score or map is not finite."""
    change = np.abs(actual - expected) / np.maximum(np.abs(expected), threshold)
    for place, map_224 in enumerate(maps):
        if not np.isfinite(map_224).all():
            change[place] = np.inf
    change[~np.isfinite(change)] = np.inf
    return change


def _rank_correlation(
    actual: npt.NDArray[np.float64], expected: npt.NDArray[np.float64], allowed: float
) -> float | None:
    """Spearman's; None where there is no order to keep: all scores are equal within the change that is allowed."""
    if len(actual) < 3 or not np.isfinite(actual).all() or np.ptp(expected) <= allowed:
        return None
    if np.ptp(actual) == 0:
        return 0.0
    return float(spearmanr(actual, expected).statistic)


def _tensor_line(check: TensorCheck) -> str:
    verdict = "ok  " if check.passed else "FAIL"
    text = (
        f"{verdict} {check.compared}: {check.stage}'s {check.tensor} differs by {check.largest:.2e} of "
        f"{check.scale} on {check.worst} (allowed: {check.atol:.0e} of it + {check.rtol:.0e} of the element; "
        f"{check.scans} scans)"
    )
    return f"{text}; first off: {check.first_off}" if check.first_off else text


def _decision_line(check: DecisionCheck) -> str:
    """What is over its limit comes first."""
    texts = [text for text, _ in sorted(check.findings(), key=lambda finding: finding[1])]
    verdict = "ok  " if check.passed else "FAIL"
    return f"{verdict} {check.compared}, decisions of {check.scans} scans: {'; '.join(texts)}"
