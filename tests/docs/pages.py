"""The repository's Markdown, taken apart for tests: pages, links, headings, code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
OUTSIDE = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "examples/README.md")
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *(ROOT / name for name in OUTSIDE), *(ROOT / "training").rglob("*.md")])
_FENCED = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]\[]*\]\(([^)\s]+)\)")
_SPAN = re.compile(r"`+([^`]+)`+")


@dataclass(frozen=True)
class CodeBlock:
    """A fenced block of a page: where it is, the word behind the fence, and what is in it."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """Page and line, for messages and the names of tests."""
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    """A page as the repository calls it."""
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def code_blocks(page: Path) -> Iterator[CodeBlock]:
    """The fenced blocks of a page."""
    text = text_of(page)
    for block in _FENCED.finditer(text):
        yield CodeBlock(page, text.count("\n", 0, block.start()) + 1, block[2], block[3])


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCED.sub("", text_of(page))


def spans(page: Path) -> list[str]:
    """The code in the sentences of a page."""
    return [span[1] for span in _SPAN.finditer(prose(page).replace("\n", " "))]


def links(page: Path) -> list[str]:
    """The targets of a page's links and pictures."""
    return [link[1] for link in _LINK.finditer(_SPAN.sub("", prose(page)))]


def anchors(text: str) -> set[str]:
    """What a forge, and the site, call the headings of a text."""
    made: list[str] = []
    for heading in re.findall(r"^#{1,6} +(.+?) *$", _FENCED.sub("", text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        slug = re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-")
        made.append(f"{slug}-{made.count(slug)}" if slug in made else slug)
    return set(made)
