"""Command lines of the documentation parse: the commands, arguments and options are those of the real programs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from cmdiad.cli import line, workstation

from .pages import PAGES, code_blocks, name_of, spans

PROGRAMS = {
    "cmdiad": typer.main.get_command(workstation.app),
    "cmdiad-rt": typer.main.get_command(line.app),
}
# What stands for something else: `[--bundle BUNDLE]`, `...`, COMMAND.
_PATTERN = re.compile(r"\[|\.\.\.|\bCOMMAND\b|…")


def command_lines(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Where each is, and its words: those of shell blocks, and those behind a prompt."""
    for block in code_blocks(page):
        if block.language not in ("sh", "text", ""):
            continue
        for row, text in enumerate(block.text.replace("\\\n", "  ").splitlines()):
            prompt = re.match(r"(?:\[ *\d+ s\] )?\$ (.*)", text)
            if prompt is None and block.language != "sh":
                continue
            for words in simple_commands(prompt[1] if prompt else text):
                yield f"{block.place}+{row}", words


def simple_commands(text: str) -> Iterator[list[str]]:
    """The calls of our programs in a line of a shell."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|&;<>")
    lexer.commenters, lexer.whitespace_split = "#", True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word and not set(word) <= set("|&;<>"):
            words.append(word)
            continue
        program = next((index for index, name in enumerate(words) if name.rpartition("/")[2] in PROGRAMS), None)
        if program is not None and all("=" in name for name in words[:program]):
            yield words[program:]
        words = []


def parse(words: list[str]) -> None:
    """Parse a command line as its program does, and run nothing."""
    name, *rest = words
    command: Any = PROGRAMS[name.rpartition("/")[2]]
    # `...` stands for more of the same.
    rest = [word for word in rest if word not in ("--debug", "...")]
    while getattr(command, "commands", None) and rest and not rest[0].startswith("-"):
        if rest[0] not in command.commands and command.invoke_without_command:
            break
        command, rest = command.commands[rest[0]], rest[1:]
    asks_for_help = {"--help", "-h", "--version", "--install-completion"} & {*rest}
    if not asks_for_help:
        command.make_context(name, rest, resilient_parsing=False).close()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_command_lines_of_code_blocks_parse(page: Path) -> None:
    refused = {}
    for place, words in command_lines(page):
        try:
            parse(words)
        except Exception as error:
            refused[place] = f"{shlex.join(words)}: {getattr(error, 'message', error)!r}"
    assert refused == {}


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name_of)
def test_commands_in_sentences_exist_with_their_options(page: Path) -> None:
    unknown = [span for span in spans(page) if re.match(r"cmdiad(-rt)? \w", span) and not is_known(span)]
    assert unknown == []


def is_known(span: str) -> bool:
    """Whether command and options of a piece of a command line exist; what it leaves out does not matter."""
    name, *rest = span.split()
    command: Any = PROGRAMS[name]
    while getattr(command, "commands", None) and rest and not rest[0].startswith("-"):
        if rest[0] not in command.commands:
            return rest[0].isupper() or bool(_PATTERN.search(span))
        command, rest = command.commands[rest[0]], rest[1:]
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    given = {word.strip("[],.").partition("=")[0] for word in rest if word.lstrip("[").startswith("--")}
    return given <= {*options, "--help", "--debug"}


@pytest.mark.parametrize(
    "text",
    [
        "cmdiad train DATA --rout f2f",
        "cmdiad trian DATA",
        "X=1 cmdiad-rt infer a.tiff --threshold much # why",
        "a && cmdiad sign",
    ],
)
def test_a_line_that_would_be_refused_is_refused_here(text: str) -> None:
    (words,) = simple_commands(text)
    with pytest.raises(Exception, match=r"(?i)no such option|no such command|valid number|missing|required|trian"):
        parse(words)


def test_command_lines_are_found_at_all() -> None:
    found_lines = [words for page in PAGES for _, words in command_lines(page)]
    assert len(found_lines) > 100 and {words[0] for words in found_lines} >= {"cmdiad", "cmdiad-rt"}
    assert (
        not is_known("cmdiad-rt infer --jsn") and not is_known("cmdiad trian") and is_known("cmdiad train --route f2f")
    )
