"""The fleet's page needs nothing beside it, runs its own script alone, and shows what went wrong."""

from __future__ import annotations

import base64
import hashlib
import re
from types import SimpleNamespace

import msgspec
from cmdiad.calibration.update_comparison import MeasureUnderBoth
from cmdiad.fleet.fleet_page import fleet_page
from cmdiad.fleet.fleet_run import FleetReport
from cmdiad.fleet.fleet_tables import HEADERS, products_table, warnings_of
from cmdiad.fleet.product_task import BundleDrift, CalibratedProduct, ProductOutcome, StepFailure
from cmdiad.runtime.bundle.parameters import Threshold


def threshold(value: float) -> Threshold:
    return Threshold(
        value=value,
        false_reject_rate=0.01,
        method="extrapolated",
        n_scans=8,
        rate_low=0.0,
        rate_high=0.3,
        scans_needed=100,
    )


def moved(name: str, sigmas: float | None) -> MeasureUnderBoth:
    return MeasureUnderBoth(name, 0.0, 1.0, 1.0, 1.0, sigmas)


def report() -> FleetReport:
    drift = BundleDrift(
        digest_before="d",
        threshold_before=threshold(2.0),
        pixel_threshold_before=threshold(1.0),
        threshold_change=0.5,
        measures=[moved("score", 1.0), moved("part_x_m", -4.0), moved("part_y_m", None)],
        warnings=["the golden scan 'defective' passes"],
    )
    calibrated = CalibratedProduct(
        digest="e", n_scans=8, n_parts=8, threshold=threshold(3.0), pixel_threshold=threshold(1.0), decision="",
        warnings=[], drift=drift,
    )  # fmt: skip
    failure = StepFailure(step="calibrate", kind="scan", message="lid: <b>bad</b>", exit_code=3)
    products = [
        ProductOutcome(product="cap", done=["calibrate"], calibrated=calibrated),
        ProductOutcome(product="lid", error=failure),
    ]
    return FleetReport(created="2026-11-28", runner="r", steps=["calibrate"], seconds=1.0, products=products, listed=2)


def test_the_table_says_threshold_and_what_has_moved_most() -> None:
    cap, lid = (dict(zip(HEADERS, row, strict=True)) for row in products_table(report()).rows)
    assert (cap["state"], cap["threshold"], cap["threshold moved"]) == ("done", "3", "+50.0%")
    assert (cap["moved most"], cap["sigma"]) == ("part_x_m", "-4.0")
    assert lid["state"] == "FAILED" and lid["threshold"] == "-"


def test_the_page_loads_nothing_and_allows_its_own_script_alone() -> None:
    page = fleet_page(report())
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page and "default-src 'none'" in page
    assert not re.search(r"(src|href)\s*=|https?://|@import", page)


def test_what_falsifies_a_products_figures_is_among_its_warnings() -> None:
    evaluated = SimpleNamespace(warnings=["1 of 7 test scans are there twice"])
    outcome = ProductOutcome(product="cap", evaluated=evaluated)  # type: ignore[arg-type]
    assert warnings_of(outcome) == ["cap: 1 of 7 test scans are there twice"]
    assert warnings_of(ProductOutcome(product="lid")) == []


def test_the_page_shows_failures_and_warnings_as_text() -> None:
    page = fleet_page(report())
    assert "lid: &lt;b&gt;bad&lt;/b&gt; (calibrate)" in page and "<b>bad" not in page
    assert "cap: the golden scan &#39;defective&#39; passes" in page
    assert "1 done" in page and "1 failed" in page


def test_the_page_says_what_was_left_out_and_what_holds_for_several() -> None:
    page = fleet_page(msgspec.structs.replace(report(), listed=40, warnings=["cap, lid have the same normal scans"]))
    assert "2 of the file&#39;s 40 products: 1 done" in page and "cap, lid have the same normal scans" in page
