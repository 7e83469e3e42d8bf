"""The site's navigation has every page, and its links lead to where the pages are there."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from cmdiad.scripts.site_hook import PAGES_FROM_OUTSIDE, with_plain_pipes, with_site_links

from .pages import ROOT, text_of

CONFIG = ROOT / "mkdocs.yml"


def test_every_page_is_in_the_navigation_once() -> None:
    listed = re.findall(r"^ +- [^:]+: (\S+\.md)$", text_of(CONFIG).partition("\nnav:")[2], re.MULTILINE)
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    assert sorted(listed) == sorted(pages | set(PAGES_FROM_OUTSIDE))


def test_pages_from_outside_are_there() -> None:
    assert [source for source in PAGES_FROM_OUTSIDE.values() if not (ROOT / source).is_file()] == []


def test_nothing_comes_from_another_host() -> None:
    assert re.findall(r"https?://\S+", text_of(CONFIG)) == []


def test_links_lead_to_where_pages_are_on_the_site() -> None:
    text = (
        "[a](../docs/line.md#x) [b](../CHANGELOG.md) [c](../runtime/errors.py) [d](camera_loop.py) [e](https://x)\n"
        "```\n[a](../docs/line.md)\n```\n"
    )
    led = with_site_links(text, PurePosixPath("examples/README.md"), PurePosixPath("examples.md"))
    assert led == "[a](line.md#x) [b](changelog.md) c d [e](https://x)\n```\n[a](../docs/line.md)\n```\n"
    led = with_site_links(
        "[a](../../README.md#x) [b](../line.md)", PurePosixPath("docs/how_to/p.md"), PurePosixPath("how_to/p.md")
    )
    assert led == "[a](../index.md#x) [b](../line.md)"


def test_pipes_in_the_code_of_tables_are_shown_without_a_backslash() -> None:
    text = "| `--graph <auto\\|line>` | a \\| b |\n\n`a\\|b`\n"
    assert with_plain_pipes(text) == "| `--graph <auto|line>` | a \\| b |\n\n`a\\|b`\n"
