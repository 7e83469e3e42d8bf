"""Every link of the documentation leads somewhere."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from cmdiad.scripts.reference_pages import GENERATED, MARK

from .pages import PAGES, anchors, links, name_of, text_of


@cache
def all_anchors(page: Path) -> set[str]:
    """The anchors of a page with what is generated in it."""
    return anchors(MARK.sub(lambda mark: GENERATED[mark[1]](), text_of(page)))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    broken = []
    for target in links(page):
        place, _, anchor = target.partition("#")
        if ":" in place:
            continue
        reached = page if not place else (page.parent / place).resolve()
        if not reached.exists() or (anchor and anchor not in all_anchors(reached)):
            broken.append(target)
    assert broken == []


def test_links_and_headings_are_found_at_all(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# `--json` and A [link](x.md)\n## Two\n## Two\n[a](b.md#c) ![p](q.png)\n```\n# no [x](y.md)\n```\n"
    )
    assert links(page) == ["x.md", "b.md#c", "q.png"]
    assert anchors(text_of(page)) == {"--json-and-a-link", "two", "two-1"}
