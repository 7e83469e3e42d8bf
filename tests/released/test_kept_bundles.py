"""Bundles that earlier versions wrote are read, and give what those versions gave, with what a line has installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from cmdiad.runtime.acceptance.selftest import run_selftest
from cmdiad.runtime.bundle.manifest import NEWEST_READ, OLDEST_READ
from cmdiad.runtime.bundle.reading import RANGES_SINCE, open_bundle
from cmdiad.runtime.errors import BundleError
from cmdiad.runtime.inspector import Inspector

# Shares of the larger of score and threshold, and of the map's highest value: those of the self-test in float32.
SCORE_TOLERANCE, MAP_TOLERANCE = 3e-4, 5e-4
KEPT = Path(__file__).parent
RECORDS = sorted(KEPT.glob("*/*.json"))
REFUSED = KEPT / "format-1" / "plain.json"


def bundle_of(record: Path) -> Path:
    return record.with_suffix(".cmdiad")


def name_of(record: Path) -> str:
    return f"{record.parent.name}-{record.stem}"


def answer_of(record: Path) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))["answer"]
    return answer


def differs(inspection: Any, answer: dict[str, Any], map_hw: np.ndarray) -> list[str]:
    """What of an inspection is not what was recorded."""
    of_score = max(answer["score"], answer["threshold"])
    checks = {
        "threshold": inspection.threshold == answer["threshold"],
        "verdict": inspection.is_defect == answer["is_defect"],
        "score": abs(inspection.score - answer["score"]) <= SCORE_TOLERANCE * of_score,
        "map": np.abs(inspection.map - map_hw).max() <= MAP_TOLERANCE * map_hw.max(),
    }
    return [name for name, holds in checks.items() if not holds]


@pytest.mark.parametrize("record", [record for record in RECORDS if record != REFUSED], ids=name_of)
def test_a_kept_bundle_gives_what_its_version_gave(record: Path) -> None:
    answer, map_hw = answer_of(record), tifffile.imread(record.with_name(f"{record.stem}_map.tiff"))
    with Inspector.load(bundle_of(record)) as inspector:
        inspection = inspector(record.with_name("scan.tiff"))
    assert answer["is_defect"] and differs(inspection, answer, map_hw) == []


@pytest.mark.parametrize("record", [record for record in RECORDS if record != REFUSED], ids=name_of)
def test_a_kept_bundle_passes_its_self_test(record: Path) -> None:
    assert run_selftest(open_bundle(bundle_of(record))).passed


def test_another_score_verdict_or_map_is_noticed() -> None:
    record = KEPT / "format-3" / "region.json"
    answer, map_hw = answer_of(record), tifffile.imread(record.with_name("region_map.tiff"))
    with Inspector.load(bundle_of(record)) as inspector:
        inspection = inspector(record.with_name("scan.tiff"))
    assert differs(inspection, {**answer, "score": answer["score"] * 1.001}, map_hw) == ["score"]
    assert differs(inspection, {**answer, "is_defect": False}, map_hw) == ["verdict"]
    assert differs(inspection, answer, np.roll(map_hw, 1, axis=1)) == ["map"]


def test_what_format_1_calibrated_is_verified_and_refused_in_words() -> None:
    bundle = open_bundle(bundle_of(REFUSED))
    assert bundle.manifest.format_version == 1 < RANGES_SINCE
    with pytest.raises(BundleError, match=r"calibrated by an earlier version.*calibrate it again") as refusal:
        Inspector.load(bundle.path)
    assert refusal.value.exit_code == 4


def test_a_bundle_of_every_format_that_is_read_is_kept() -> None:
    kept = {open_bundle(bundle_of(record)).manifest.format_version for record in RECORDS}
    assert kept >= set(range(OLDEST_READ, NEWEST_READ + 1))
