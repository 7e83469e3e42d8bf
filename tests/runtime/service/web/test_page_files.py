"""The live page's files: a fixed list, nothing from elsewhere, and the vendored libraries as they were pinned."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import cmdiad.runtime.service.web.page_files as page_files_module
import pytest
from cmdiad.runtime.service.web.page_files import PAGE_FILES, SHARED_FILES, page_file
from cmdiad.runtime.verdict import heatmap

PAGE = Path(page_files_module.__file__).parent / "page"
VENDORED = json.loads((PAGE / "vendor" / "vendored.json").read_text(encoding="utf-8"))
OWN = [path for path in sorted(PAGE.iterdir()) if path.is_file()]
MOST_VENDORED_BYTES = 1_500_000


@pytest.mark.parametrize("path", PAGE_FILES)
def test_every_path_has_its_file_and_kind(path: str) -> None:
    asked = page_file(path)
    assert (asked.content and ";" in asked.kind) or asked.kind == "image/svg+xml"
    assert re.fullmatch('"[0-9a-f]{32}"', asked.tag)


def test_every_file_of_the_page_is_served() -> None:
    assert {path.name for path in OWN} == {*(name for name in PAGE_FILES.values() if "/" not in name), *SHARED_FILES}


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_every_page_has_the_views_and_the_form_for_the_token(path: str) -> None:
    text = page_file(path).content.decode()
    assert "<!--" not in text
    for part in ('<nav aria-label="Views">', '<button class="quiet" id="theme"', '<form id="login-form">'):
        assert text.count(part) == 1


def test_a_changed_file_has_another_tag() -> None:
    tags = [page_file(path).tag for path in PAGE_FILES]
    assert len(set(tags)) == len(tags)


@pytest.mark.parametrize("package", VENDORED, ids=lambda package: package["name"])
def test_vendored_files_are_the_pinned_ones(package: dict[str, object]) -> None:
    assert re.fullmatch("[0-9a-f]{128}", str(package["tarball_sha512"]))
    files = package["files"]
    assert isinstance(files, list)
    for file in files:
        content = (PAGE / "vendor" / file["file"]).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (file["sha256"], file["bytes"]), file["file"]
    assert any(file["file"].endswith("LICENSE.txt") for file in files)


def test_nothing_lies_among_the_vendored_files_that_is_not_listed() -> None:
    listed = {file["file"] for package in VENDORED for file in package["files"]}
    assert {path.name for path in (PAGE / "vendor").iterdir()} == {*listed, "vendored.json"}
    assert sum(file["bytes"] for package in VENDORED for file in package["files"]) < MOST_VENDORED_BYTES


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_the_page_asks_no_other_host_and_writes_no_markup(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|//[a-z]+\.[a-z]+/", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
    # The policy forbids what stands inline.
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", text)


@pytest.mark.parametrize("path", [path for path in OWN if path.suffix == ".js"], ids=lambda path: path.name)
def test_modules_import_what_is_served(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"""(?:from|import\() ?["']([^"']+)["']""", text):
        assert name.startswith("./") and f"/page/{name[2:]}" in PAGE_FILES, name


def test_the_clouds_scale_is_the_heat_maps() -> None:
    text = (PAGE / "colors.js").read_text(encoding="utf-8")
    constants = dict(re.findall(r"const (\w+) = ([^;]+);", text))
    assert float(constants["SCALE_START"]) == heatmap.SCALE_START
    assert float(constants["SCALE_END"]) == heatmap.SCALE_END
    assert float(constants["OPACITY"]) == heatmap._OPACITY
    assert tuple(map(tuple, json.loads(constants["ANCHORS"]))) == heatmap._ANCHORS


def _colors(theme: str) -> dict[str, str]:
    block = re.search(theme, (PAGE / "style.css").read_text(encoding="utf-8"))
    assert block is not None
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block[1]))


def _contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.2."""
    light = []
    for color in (one, other):
        channels = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
        light.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(light) + 0.05) / (min(light) + 0.05)


@pytest.mark.parametrize(
    "theme",
    [
        pytest.param(r":root \{([^}]*)\}", id="light"),
        pytest.param(r':root\[data-theme="dark"\] \{([^}]*)\}', id="dark"),
        pytest.param(r":root:not\(\[data-theme\]\) \{([^}]*)\}", id="system dark"),
    ],
)
def test_text_has_contrast_aa_on_every_ground(theme: str) -> None:
    colors = _colors(theme)
    pairs = [(word, ground) for word in ("ink", "soft") for ground in ("ground", "card", "sunk", "chosen")]
    pairs += [
        (word, ground) for word in ("good", "defect", "error", "watch", "accent") for ground in ("card", "chosen")
    ]
    pairs += [(verdict, f"{verdict}-ground") for verdict in ("good", "defect", "error")]
    pairs += [("on-accent", "accent"), ("ink", "defect-ground")]
    weak = {pair: _contrast(colors[pair[0]], colors[pair[1]]) for pair in pairs}
    assert {pair: ratio for pair, ratio in weak.items() if ratio < 4.5} == {}
    assert _contrast(colors["edge"], colors["card"]) >= 3  # the outline of a control


def test_dark_by_the_system_and_by_choice_are_the_same() -> None:
    by_choice, by_system = (
        _colors(r':root\[data-theme="dark"\] \{([^}]*)\}'),
        _colors(r":root:not\(\[data-theme\]\) \{([^}]*)\}"),
    )
    assert by_choice == by_system and len(by_choice) > 15
