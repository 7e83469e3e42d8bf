"""Pages, help texts, messages and the live page keep to the glossary and to plain American English."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .pages import PAGES, ROOT, name_of, prose

ROOMS = ("calibration", "cli", "export", "fleet", "reproduce", "runtime", "training", "viewing")
MODULES = sorted(module for room in ROOMS for module in (ROOT / room).rglob("*.py"))
LIVE_PAGE = sorted((ROOT / "runtime/service/web/page").glob("*.html"))
# What is wrong, and what to write instead.
FAULTS = {
    r"(?<![Tt]here )\b(?:is|are|was|were) no (?!longer|more|larger|less|further|fewer|way)(?=[a-z])": "is not a ...",
    r"\bbut for\b": "except for",
    r"\b(?:which|that|it|each) is none\b|\bof which none\b": "is not one; none of which",
    r"\bin the mean\b": "on average",
    r"\bone's own\b": "its own",
    r"\banew\b": "again",
    r"\bin vain\b": "without success",
    r"\bfall-back\b": "fallback",
    r"(?<![-\w`])(?:[Mm]illi|[Mm]icro|[Cc]enti|[Kk]ilo)?[Mm]etres?\b(?![-_]per)": "meter",
    r"\b[Cc]olour|\b[Gg]rey\b|\b[Bb]ehaviour|\b[Nn]eighbour|\b[Cc]entre[sd]?\b|\b[Ll]abelled\b|\btowards\b": "American",
    r"\baccuracy\b": "the name of the score of detection",
}  # fmt: skip
_CODE = re.compile(r"`+[^`]+`+")


def faults_in(text: str) -> list[str]:
    """The places of a text that a fault is in, with what to write instead."""
    plain = _CODE.sub("``", text).replace("\n", " ")
    return [
        f"...{plain[max(0, fault.start() - 30) : fault.end() + 20]}...: {instead}"
        for pattern, instead in FAULTS.items()
        for fault in re.finditer(pattern, plain)
    ]


def texts_of(module: Path) -> Iterator[str]:
    """What a module shows to a user: its strings of several words, without docstrings; those of commands are help."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    unshown = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(piece.value) if isinstance(piece, ast.Constant) else "_" for piece in node.values)
            unshown.update(id(piece) for piece in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in unshown:
            yield node.value
        elif isinstance(node, ast.FunctionDef) and node.decorator_list and "cli" in module.parts:
            yield ast.get_docstring(node) or ""


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "glossary.md"], ids=name_of)
def test_pages_are_in_plain_words(page: Path) -> None:
    assert faults_in(prose(page)) == []


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_messages_and_help_texts_are_in_plain_words(module: Path) -> None:
    assert [fault for text in texts_of(module) if " " in text for fault in faults_in(text)] == []


@pytest.mark.parametrize("page", LIVE_PAGE, ids=name_of)
def test_the_live_page_is_in_plain_words(page: Path) -> None:
    assert faults_in(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "This is no scan.",
        "all but for one",
        "a graph that is none",
        "of which none fits",
        "0.1 in the mean",
        "three metres",
    ],
)
def test_a_fault_is_found(text: str) -> None:
    assert len(faults_in(text)) == 1


@pytest.mark.parametrize(
    "text",
    ["It is no longer read.", "`--metres-per-unit 0.001`", "there is no scan", "metres_per_unit", "is not a scan"],
)
def test_plain_words_are_not_a_fault(text: str) -> None:
    assert faults_in(text) == []
