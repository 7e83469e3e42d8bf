"""Repeat a bundle's golden scans on this machine and compare every stage with what was recorded.

This is how a line knows, before the first part, that its GPU, driver and engine give what was validated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..bundle.reading import Bundle
from ..choices import Graph
from ..inspector import Inspector
from ..line_graph import prefers_line_graph
from .allowances import Limits, judged, limits
from .golden import (
    MAP,
    Golden,
    GoldenCase,
    GoldenTensor,
    choose_elements,
    read_case,
    read_golden,
    replay,
    unseen_defect,
)

SCORE = "score"
VERDICT = "verdict"
# What a share is taken of where there is nothing.
TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class GoldenComparison:
    """One stage of one golden scan.

    Attributes:
        case: the golden scan.
        stage: a tensor's name, `map`, `score` or `verdict`.
        difference: as a share of what `GoldenTolerance` says; None where the stage is not seen or not a number.
        tolerance: the largest difference that passes.
        passed: whether it does.
        remark: what else to know.
    """

    case: str
    stage: str
    difference: float | None
    tolerance: float
    passed: bool
    remark: str = ""


@dataclass(frozen=True)
class SelftestReport:
    """The outcome on one provider.

    Attributes:
        signature: who signed the bundle, and whether that was checked.
        comparisons: every stage of every golden scan.
        unseen: what passing does not show, a sentence; empty where that is nothing.
    """

    bundle: str
    product: str
    precision: str
    provider: str
    recorded_on: str
    signature: str
    comparisons: list[GoldenComparison]
    unseen: str = ""

    @property
    def passed(self) -> bool:
        """Whether every stage of every golden scan did."""
        return all(comparison.passed for comparison in self.comparisons)

    def as_json(self) -> dict[str, Any]:
        """The documented object of `selftest --json`."""
        return {"passed": self.passed, **asdict(self)}


def run_selftest(
    bundle: Bundle,
    provider: str = "cpu",
    threads: int | None = None,
    cuda_graph: bool | None = None,
    graph: Graph = "auto",
) -> SelftestReport:
    """Repeat the golden scans of a bundle.

    Args:
        bundle: verified and calibrated.
        provider: what runs the networks.
        threads: CPU threads; None: all this process may use.
        cuda_graph: capture networks of few shapes as CUDA graphs; None: where the provider can.
        graph: networks: each network by itself. line: the fused line graph. auto: the networks, and the line graph
            too where inspections would run it.

    Raises:
        BundleError: the bundle has no golden scans, is not calibrated, or lacks what its precision changes of them.
        EngineError: the provider is not available.
        ScanError: preprocessing on this machine leaves nothing of a golden scan.
    """
    golden = read_golden(bundle)
    comparisons: list[GoldenComparison] = []
    for name in graphs_to_repeat(bundle, provider, graph):
        allowed = limits(bundle, provider, line=name == "line")
        with Inspector(bundle, provider, threads, cuda_graph=cuda_graph, graph=name, allow_any_size=True) as inspector:
            comparisons += _compare_all(bundle, golden, inspector, allowed, "line " if name == "line" else "")
    return SelftestReport(
        bundle=str(bundle.path),
        product=bundle.manifest.product,
        precision=bundle.manifest.precision,
        provider=provider,
        recorded_on=golden.provider,
        signature=bundle.signature_in_words(),
        comparisons=comparisons,
        unseen=unseen_defect(case.is_defect for case in golden.cases),
    )


def graphs_to_repeat(bundle: Bundle, provider: str, graph: Graph) -> list[Graph]:
    """The networks one by one, the fused line graph, or both where inspections would run the latter."""
    if graph != "auto":
        return [graph]
    return ["networks", "line"] if prefers_line_graph(bundle, provider) else ["networks"]


def _compare_all(
    bundle: Bundle, golden: Golden, inspector: Inspector, allowed: Limits, prefix: str
) -> Iterator[GoldenComparison]:
    """Every stage of every case; of the line graph, whose tensors were not recorded, the map, score and verdict."""
    for case in golden.cases:
        inspection, tensors = replay(inspector, read_case(bundle, case))
        for entry in case.tensors:
            if prefix and entry.name != MAP:
                continue
            recorded, actual = bundle.array(entry.file), tensors.get(entry.name)
            compared = compare_tensor(
                case.name, judged(entry, bundle.manifest), recorded, actual, allowed.of_stage(entry.name)
            )
            yield replace(compared, stage=prefix + entry.name)
        yield replace(_compare_score(case, inspection.score, allowed), stage=prefix + SCORE)
        yield replace(_compare_verdict(case, inspection.is_defect, allowed.verdict(case)), stage=prefix + VERDICT)


def compare_tensor(
    case: str,
    entry: GoldenTensor,
    recorded: npt.NDArray[np.float32],
    actual: npt.NDArray[np.float32] | None,
    allowed: float,
) -> GoldenComparison:
    """The largest difference of the recorded elements, as a share of the entry's scale."""
    failed = partial(GoldenComparison, case, entry.name, None, allowed, False)
    if actual is None:
        return failed("no network gives it: calibrate the bundle again")
    if actual.shape != entry.shape:
        return failed(f"shape {actual.shape}, recorded {entry.shape}")
    elements = choose_elements(actual).astype(np.float64)
    if recorded.shape != elements.shape:
        return failed(
            f"{recorded.shape} elements were recorded, {elements.shape} are needed: calibrate the bundle again"
        )
    difference = np.abs(elements - recorded)
    if not np.isfinite(difference).all():
        return failed("not a finite number")
    share = float(difference.max(initial=0)) / max(entry.scale, TINY)
    return GoldenComparison(case, entry.name, share, allowed, share <= allowed)


def _compare_score(case: GoldenCase, score: float, limits: Limits) -> GoldenComparison:
    share, allowed = abs(score - case.score) / max(limits.score_scale(case), TINY), limits.of_score()
    remark = f"{score:.6g}, recorded {case.score:.6g}"
    return GoldenComparison(case.name, SCORE, share if np.isfinite(share) else None, allowed, share <= allowed, remark)


def _compare_verdict(case: GoldenCase, is_defect: bool, expected: bool) -> GoldenComparison:
    words = {True: "defect", False: "good"}
    same = is_defect == expected
    remark = words[is_defect] if same else f"{words[is_defect]}, recorded {words[expected]}"
    return GoldenComparison(case.name, VERDICT, float(not same), 0.0, same, remark)
