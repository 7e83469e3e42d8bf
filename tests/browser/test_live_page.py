"""The live page in a real Chromium, in front of a real `cmdiad-rt serve`.

python -m pytest tests/browser                      # needs Chromium and `pip install playwright`
CMDIAD_PICTURES=docs/pictures python -m pytest tests/browser -k pictures   # of `cmdiad demo`, into a folder
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent.parent
HOSTILE = "<img src=x onerror=alert(1)>"
TOKEN = "a-token-that-is-long-enough"
PATIENCE_MS = 20_000
SIZES = {"desktop": (1440, 900), "tablet": (1024, 768)}

NewPage = Callable[..., Any]
NewLine = Callable[..., Any]


@pytest.fixture(scope="module")
def other_bundle(exported_bundle: Path, synth_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same networks, calibrated with another seed: another bundle."""
    return _calibrated(exported_bundle, synth_data / "gland", tmp_path_factory.mktemp("other") / "bundle")


def _calibrated(bundle: Path, data: Path, made: Path) -> Path:
    from cmdiad.calibration.calibrate import CalibrationSettings
    from cmdiad.calibration.calibrated_bundle import calibrate_bundle
    from cmdiad.runtime.bundle.reading import open_bundle
    from cmdiad.runtime.sensor.find import find_scans

    scans = find_scans([data / "train" / "good"])
    settings = CalibrationSettings(coreset_ratio=0.03, seed=6)
    calibrate_bundle(open_bundle(bundle), scans, settings, made, with_line_graph=False)
    return made


@pytest.fixture(scope="module")
def good_scan(synth_data: Path) -> bytes:
    return (synth_data / "gland" / "test" / "good" / "xyz" / "000.tiff").read_bytes()


@pytest.fixture(scope="module")
def line(
    chromium: Any,
    new_line: NewLine,
    calibrated_bundle: Path,
    other_bundle: Path,
    synth_data: Path,
    good_scan: bytes,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Any]:
    """A line of two products that has inspected some parts: good ones, defects, and one that is no scan."""
    served = new_line(tmp_path_factory.mktemp("line"), {"gland": calibrated_bundle, "gland-new": other_bundle})
    served.start()
    try:
        dents = sorted((synth_data / "gland" / "test").glob("*/xyz/*.tiff"))
        for number, scan in enumerate(dents):
            served.inspect(scan.read_bytes(), part_id=f"G-{number:03d}", name=f"{scan.parent.parent.name}/{scan.name}")
        for number in range(3):
            served.inspect(good_scan, part_id=f"N-{number:03d}", product="gland-new")
        served.inspect(b"this is no scan", part_id="broken", name="broken.tiff")
        served.inspect(good_scan, part_id=HOSTILE, name=HOSTILE)
        yield served
    finally:
        served.stop()


def live(new_page: NewPage, line: Any, path: str = "/", **options: Any) -> Any:
    """The page, once it shows a part and its cloud."""
    page = new_page(f"{line.address}{path}", **options)
    page.wait_for_selector("#parts [role=option]", state="attached")
    page.wait_for_selector("#line-status .latency", state="attached")
    return page


def settled(page: Any, part_id: str) -> None:
    """Until a part is shown with picture and cloud."""
    page.locator(".verdict-line h2", has_text=re.compile(f"^{re.escape(part_id)}$")).wait_for()
    page.wait_for_selector(".frame img")
    page.wait_for_selector("canvas[data-number]")
    page.wait_for_timeout(150)


def option(page: Any, part_id: str) -> Any:
    return page.locator("#parts [role=option]", has_text=re.compile(f"^{re.escape(part_id)}"))


def pixels(locator: Any) -> np.ndarray:
    """(H, W, 3) uint8, what an element looks like."""
    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("RGB"))


def colors_in(picture: np.ndarray) -> int:
    return len(np.unique(picture.reshape(-1, 3), axis=0))


def test_last_parts_have_name_verdict_and_share_and_hostile_names_are_text(new_page: NewPage, line: Any) -> None:
    page = live(new_page, line)
    settled(page, HOSTILE)
    assert page.locator("#parts [role=option]").count() >= 8
    assert option(page, HOSTILE).locator(".verdict").inner_text() == "good"
    assert option(page, "broken").locator(".verdict").inner_text() == "not inspected"
    assert page.locator("#parts img, .verdict-line img, .details img").count() == 0
    option(page, "broken").click()
    page.wait_for_selector(".details .wrong")
    assert "broken.tiff" in page.locator(".details .wrong").inner_text()
    assert "not inspected" in page.locator(".views").inner_text()


def test_that_there_are_no_parts_is_said_once_the_line_has_answered(new_page: NewPage, line: Any) -> None:
    page = new_page("about:blank")
    waiting: list[Any] = []

    def hold(route: Any) -> None:
        waiting.append(route)

    page.route("**/v1/history*", hold)
    page.goto(line.address)
    page.wait_for_function("() => document.querySelector('nav [aria-current]')")
    page.locator("#chart-length").select_option("50")
    page.wait_for_timeout(1000)  # the page draws at most twice a second
    assert len(waiting) == 1
    assert page.locator("#state").inner_text() == "connecting"
    assert not page.locator("#no-parts").is_visible()
    waiting.pop().fulfill(json={"parts": []})
    page.locator("#no-parts", has_text="No part has been inspected yet.").wait_for()


def test_a_new_defect_comes_by_itself_and_is_announced(new_page: NewPage, line: Any, synth_data: Path) -> None:
    page = live(new_page, line)
    before = page.locator("#parts [role=option]").count()
    scan = next(iter(sorted((synth_data / "gland" / "test" / "dent" / "xyz").glob("*.tiff"))))
    answer = line.inspect(scan.read_bytes(), part_id="fresh")
    settled(page, "fresh")
    assert page.locator("#parts [role=option]").count() == before + 1
    assert page.locator("#parts [role=option]").first.locator(".name").inner_text() == "fresh"
    words = page.locator("#announcement").inner_text()
    assert ("fresh: defect" in words) == (answer["verdict"] == "defect")
    assert f"{answer['score'] / answer['threshold']:.2f}" in page.locator(".verdict-line .times").inner_text()


def test_a_chosen_part_stays_until_the_newest_are_followed_again(
    new_page: NewPage, line: Any, good_scan: bytes
) -> None:
    page = live(new_page, line)
    option(page, "G-001").click()
    settled(page, "G-001")
    line.inspect(good_scan, part_id="while-pinned")
    option(page, "while-pinned").wait_for()
    assert page.locator(".verdict-line h2").inner_text() == "G-001"
    page.get_by_role("button", name="Follow newest").click()
    settled(page, "while-pinned")


def test_the_cloud_is_drawn_and_turned_by_mouse_and_keys(new_page: NewPage, line: Any) -> None:
    page = live(new_page, line)
    option(page, "G-002").click()
    settled(page, "G-002")
    canvas = page.locator("canvas[data-number]")
    first = pixels(canvas)
    assert colors_in(first) > 50
    page.wait_for_timeout(300)
    canvas.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    turned = pixels(canvas)
    assert (first != turned).any(axis=-1).mean() > 0.05
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 160, steps=4)
    page.mouse.up()
    page.wait_for_timeout(300)
    assert (turned != pixels(canvas)).any(axis=-1).mean() > 0.05


def test_the_chart_has_its_points_and_arrow_keys_select_them(new_page: NewPage, line: Any) -> None:
    page = live(new_page, line)
    page.wait_for_timeout(600)
    assert colors_in(pixels(page.locator("#chart"))) > 20
    assert re.search(r"last \d+ parts, \d+ of them defects", page.locator("#chart").get_attribute("aria-label"))
    newest = page.locator(".verdict-line h2").inner_text()
    page.locator("#chart").focus()
    page.keyboard.press("ArrowLeft")
    page.locator(".verdict-line h2", has_not_text=newest).wait_for()
    assert page.locator("#follow").get_attribute("aria-pressed") == "false"


def test_everything_is_reached_by_keyboard_and_the_focus_is_seen(new_page: NewPage, line: Any) -> None:
    page = live(new_page, line)
    settled(page, page.locator("#parts .name").first.inner_text())
    reached = []
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "() => { const here = document.activeElement, style = getComputedStyle(here);"
                " const name = here.id || (here.children.length ? '' : here.textContent) || here.tagName;"
                " return [name, style.outlineStyle !== 'none']; }"
            )
        )
    names = [name for name, _ in reached]
    assert {"follow", "parts", "chart-length", "chart", "theme", "History", "Bundles"} <= set(names)
    assert "Reset view" in names and "CANVAS" in names
    assert [name for name, is_seen in reached if not is_seen and name not in ("BODY", "")] == []
    page.locator("#parts").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    chosen = page.locator("#parts [aria-selected=true]")
    assert chosen.get_attribute("id") == page.locator("#parts").get_attribute("aria-activedescendant")
    assert page.locator("#parts [role=option]").nth(2).get_attribute("aria-selected") == "true"


def test_history_is_searched_by_part_verdict_product_and_time(new_page: NewPage, line: Any) -> None:
    page = live(new_page, line, "/#history")
    from playwright.sync_api import expect

    rows = page.locator("#history-rows tr")
    rows.first.wait_for()

    def searched(expected: int, **fields: str) -> None:
        page.get_by_role("button", name="Clear").click()
        for name, value in fields.items():
            field = page.locator(f"#search [name={name}]")
            field.select_option(value) if name in ("product", "verdict") else field.fill(value)
        page.get_by_role("button", name="Search").click()
        expect(rows).to_have_count(expected, timeout=PATIENCE_MS)

    searched(1, part_id="broken")
    assert rows.first.inner_text().startswith("not inspected")
    searched(3, product="gland-new")
    searched(1, verdict="error")
    searched(0, since="2001-01-01T00:00:00", until="2001-01-02T00:00:00")
    assert "No result" in page.locator("#history-words").inner_text()
    searched(1, part_id=HOSTILE)
    assert rows.locator("img").count() == 0
    searched(1, part_id="G-001", since="2001-01-01T00:00:00")
    rows.get_by_role("link").click()
    settled(page, "G-001")
    assert page.locator("#live").is_visible() and "#part/" in page.url


def test_two_bundles_are_compared_side_by_side(new_page: NewPage, line: Any) -> None:
    page = live(new_page, line, "/#bundles")
    table = page.locator(".comparison")
    table.wait_for()
    assert page.locator("#bundle-a option").count() == 2
    differing = table.locator("tr.differs th").all_inner_texts()
    assert any("Threshold" in name for name in differing) and any("digest" in name for name in differing)
    page.locator("#differing").check()
    assert table.locator("tbody tr:not(.differs) td").count() == 0
    page.locator("#bundle-b").select_option(index=0)
    assert "the same bundle" in page.locator("#bundles-words").inner_text()
    assert table.locator("tr.differs").count() == 0


@pytest.mark.parametrize("view", ["#live", "#history", "#bundles", "docs"])
def test_a_phone_scrolls_downwards_only_and_fingers_meet_what_they_mean(
    new_page: NewPage, line: Any, view: str
) -> None:
    page = new_page(f"{line.address}/{view}", size=(375, 700), has_touch=True, is_mobile=True)
    page.wait_for_selector(".operation" if view == "docs" else "#line-status .latency", state="attached")
    page.wait_for_timeout(600)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    small = page.evaluate(
        "() => [...document.querySelectorAll('button, select, input:not([type=checkbox]), nav a, [role=option]')]"
        ".filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 44)"
        ".map((one) => one.outerHTML.slice(0, 80))"
    )
    assert small == []


def test_the_interface_is_described_without_another_host(new_page: NewPage, line: Any) -> None:
    page = new_page(f"{line.address}/docs")
    page.wait_for_selector(".operation")
    assert "POST /v1/inspect" in page.locator("#operations").inner_text()


def test_drift_lamps_regions_sinks_and_problems_are_shown_as_the_line_tells_them(new_page: NewPage, line: Any) -> None:
    page = live(new_page, line)
    part = page.evaluate("fetch('/v1/history?limit=1').then((answer) => answer.json())")["parts"][0]
    status = page.evaluate("fetch('/v1/status').then((answer) => answer.json())")
    lamp = {"product": "gland", "unit": "m", "value": 0.00031, "baseline_mean": 0.0002}
    status["health"] = [
        {**lamp, "measure": "plane_rms_m", "lamp": "alarm", "message": "the table has become rougher"},
        {**lamp, "measure": "diameter", "lamp": "ok", "message": None},
    ]
    status["problems"] = ["sink mqtt: the broker does not answer"]
    status["sinks"] = [{"name": "mqtt", "waiting": 12, "problem": "the broker does not answer", "tries": 3}]
    region = {"number": 1, "peak_score": 3.2, "peak_row": 50, "peak_column": 60, "center_m": [0.01, -0.002, 0.4]}
    region |= {"length_m": 0.0042, "width_m": 0.001, "area_m2": 3.1e-6, "pixels": 30}
    part = {**part, "number": 10_000, "result": {**part["result"], "regions": [region], "regions_found": 40}}
    events = "".join(
        f"event: {name}\ndata: {json.dumps(value)}\n\n" for name, value in (("part", part), ("status", status))
    )
    page.route("**/v1/events", lambda route: route.fulfill(body=events, content_type="text/event-stream"))
    page.route("**/v1/parts/10000/*", lambda route: route.continue_(url=route.request.url.replace("10000", "1")))
    page.reload()
    page.wait_for_selector(".regions")
    cells = page.locator(".regions tbody td").all_inner_texts()
    assert cells == ["1", "3.20", "4.2", "1.0", "3.1", "10.0, -2.0, 400.0"]
    assert "40 regions in total" in page.locator(".details").inner_text()
    words = page.locator("#line-status").inner_text()
    assert "1 problem" in words and "does not accept results" in words and "12 waiting" in words
    assert "the table has become rougher" in words and "drifted" in words and "1 measure as usual" in words
    assert "plane rms\n" in words and "0.310 mm, usually 0.200" in words
    assert page.locator(".lamps .mark.alarm").count() == 2


def test_a_page_that_missed_results_asks_for_them(new_page: NewPage, line: Any, watched: Any) -> None:
    page = live(new_page, line)
    status = page.evaluate("fetch('/v1/status').then((answer) => answer.json())")
    totals = [status["parts"]["total"] + more for more in (0, 3, 3)]
    told = [{**status, "parts": {**status["parts"], "total": total}} for total in totals]
    events = "".join(f"event: status\ndata: {json.dumps(one)}\n\n" for one in told)
    page.route("**/v1/events", lambda route: route.fulfill(body=events, content_type="text/event-stream"))
    watched.addresses.clear()
    page.reload()
    page.wait_for_selector("#line-status .latency")
    page.wait_for_timeout(500)
    assert sum("/v1/history" in address for address in watched.addresses) == 2


def test_a_line_with_a_token_asks_for_it_and_a_line_that_is_gone_is_said(
    new_page: NewPage, new_line: NewLine, watched: Any, calibrated_bundle: Path, good_scan: bytes, tmp_path: Path
) -> None:
    line = new_line(tmp_path / "secret", {"gland": calibrated_bundle}, TOKEN)
    line.start()
    try:
        line.inspect(good_scan, part_id="S-1")
        page = new_page(line.address)
        page.wait_for_selector("#login[open]")
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")
        page.wait_for_selector("#login[open]")
        page.fill("#token", "not the token at all")
        page.keyboard.press("Enter")
        page.locator("#login-words", has_text="wrong token").wait_for()
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        settled(page, "S-1")
        assert not page.locator("#login").is_visible()
        assert page.evaluate("document.cookie") == ""
    finally:
        line.stop()
    page.wait_for_selector("#silence:not([hidden])")
    assert re.match(r"No connection to the line for \d+ s\.", page.locator("#silence").inner_text())
    assert page.locator("#state").inner_text() == "no connection"
    # Chromium reports the refusals and the lost connection, which the page has put into words.
    refusals = [said for said in watched.complaints if re.search(r"Failed to load resource|net::ERR", said)]
    assert watched.complaints == refusals
    watched.complaints.clear()


def test_the_theme_is_the_systems_until_another_is_chosen_and_stays(new_page: NewPage, line: Any) -> None:
    page = live(new_page, line, color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Theme: system").click()
    assert page.evaluate(ground) != dark
    page.reload()
    page.wait_for_selector("#parts [role=option]")
    assert page.locator("#theme").get_attribute("aria-label") == "Theme: light" and page.evaluate(ground) != dark


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_it_fits_desktop_and_tablet_in_both_themes(
    new_page: NewPage, line: Any, size: str, theme: str, tmp_path: Path
) -> None:
    page = live(new_page, line, size=SIZES[size], color_scheme=theme)
    option(page, "G-002").click()
    settled(page, "G-002")
    taken = tmp_path / f"{size}-{theme}.png"
    page.screenshot(path=taken)
    assert colors_in(np.asarray(Image.open(taken).convert("RGB"))) > 100
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    # With thousands of parts too the bar is one row.
    thousands = "document.querySelectorAll('#counts dd').forEach(count => { count.textContent = '9999' })"
    assert page.evaluate(f"{thousands}; document.querySelector('.bar').offsetHeight") < 80


@pytest.mark.skipif("CMDIAD_PICTURES" not in os.environ, reason="CMDIAD_PICTURES=FOLDER makes the documentation's")
def test_pictures_of_the_demo(new_page: NewPage, new_line: NewLine, tmp_path: Path) -> None:
    folder = (ROOT / os.environ["CMDIAD_PICTURES"]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    demo = ROOT / "demo"
    other = _calibrated(demo / "bundle", demo / "data" / "flange", tmp_path / "other")
    line = new_line(tmp_path / "demo", {"flange": demo / "bundle", "flange-trial": other})
    line.start()
    try:
        _inspect_the_demo(line)
        page = live(new_page, line)
        for name, size in SIZES.items():
            for theme in ("light", "dark"):
                page.emulate_media(color_scheme=theme)
                page.set_viewport_size({"width": size[0], "height": size[1]})
                _pictured(page, folder / f"live-{name}-{theme}.png")
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 1440, "height": 900})
        for view in ("history", "bundles"):
            page.goto(f"{line.address}/#{view}")
            _pictured(page, folder / f"{view}.png")
        page.goto(f"{line.address}/docs")
        _pictured(page, tmp_path / "docs.png")
    finally:
        line.stop()


def _inspect_the_demo(line: Any) -> None:
    """Its test parts, mixed as on a line, and last one with a defect that is seen well."""
    test = ROOT / "demo" / "data" / "flange" / "test"
    scans = sorted(test.glob("*/xyz/*.tiff"))
    order = np.random.default_rng(7).permutation(len(scans))
    good = sorted((test / "good" / "xyz").glob("*.tiff"))
    mixed = [path for index in order for path in (good[index % len(good)], scans[index], good[(index + 7) % len(good)])]
    for number, scan in enumerate([*mixed, test / "dent" / "xyz" / "001.tiff"]):
        said = {"name": f"{scan.parent.parent.name}-{scan.name}"}
        line.inspect(scan.read_bytes(), part_id=f"FL-{4100 + number}", product="flange", **said)
        if number % 3 == 1:
            line.inspect(scan.read_bytes(), part_id=f"FL-{4100 + number}", product="flange-trial", **said)


def _pictured(page: Any, path: Path) -> None:
    page.wait_for_timeout(1200)
    page.screenshot(path=path)
    # A palette keeps the documentation small; dithered, the scale of colors stays a scale.
    picture = Image.open(path).convert("RGB")
    palette = picture.quantize(256, method=Image.Quantize.MEDIANCUT)
    picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
    assert path.stat().st_size < 300_000
