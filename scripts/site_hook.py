"""The site's hook (`hooks:` of mkdocs.yml): pages from outside of docs/, and the generated parts of the reference."""

from __future__ import annotations

import re
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from reference_pages import GENERATED, MARK  # noqa: E402

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

DOCS = PurePosixPath("docs")
# Files of the repository that are pages of the site too, by what they are called there.
PAGES_FROM_OUTSIDE = {
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    "examples.md": "examples/README.md",
    "embedded_extractors.md": "training/embedded/PROVENANCE.md",
    # Who follows a link to the README from a page of the site wants what the README says there.
    "index.md": "README.md",
}
_LINK = re.compile(r"(?<!!)\[([^\]\[]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
_ROW = re.compile(r"^\|.*\|$", re.MULTILINE)
_CODE = re.compile(r"`[^`]+`")
_FENCE = re.compile(r"^(```.*?^```|    .*?)$", re.MULTILINE | re.DOTALL)


# What the page of Python names needs; the rest of the checkout, such as .venv, would be searched for minutes.
_DOCUMENTED = ("__init__.py", "version.py", "runtime", "calibration", "export")
_PACKAGE = ROOT / "build" / "documented" / "cmdiad"


def on_startup(**_: object) -> None:
    """Show mkdocstrings the package under its own name, whatever the checkout's folder is called."""
    _PACKAGE.mkdir(parents=True, exist_ok=True)
    for name in _DOCUMENTED:
        link = _PACKAGE / name
        link.unlink(missing_ok=True)
        link.symlink_to(ROOT / name)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside of docs/."""
    from mkdocs.structure.files import File

    for name, source in PAGES_FROM_OUTSIDE.items():
        if files.get_file_from_path(name) is None:
            files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in what is generated, and lead links to where their targets are on the site."""
    source = PAGES_FROM_OUTSIDE.get(page.file.src_uri, "")
    place = PurePosixPath(source) if page.file.generated_by else DOCS / page.file.src_uri
    filled = MARK.sub(lambda mark: GENERATED[mark[1]](), markdown)
    return with_plain_pipes(with_site_links(filled, place, PurePosixPath(page.file.src_uri)))


def with_plain_pipes(markdown: str) -> str:
    r"""Tables whose code has `|` where a forge wants `\|`: MkDocs would show the backslash."""

    def plain(code: re.Match[str]) -> str:
        return code[0].replace(r"\|", "|")

    return _ROW.sub(lambda row: _CODE.sub(plain, row[0]), markdown)


def with_site_links(markdown: str, place: PurePosixPath, page: PurePosixPath) -> str:
    """Links as they must be on the site.

    Args:
        markdown: of a page.
        place: its file in the repository.
        page: what the site calls it.

    Returns:
        The same; a link to a file that is no page, such as a module, is its text alone.
    """

    def led(link: re.Match[str]) -> str:
        text, target, anchor = link[1], link[2], link[3] or ""
        if ":" in target:
            return link[0]
        reached = _normal(place.parent / target)
        published = {source: name for name, source in PAGES_FROM_OUTSIDE.items()}
        if str(reached) in published:
            return f"[{text}]({_relative(PurePosixPath(published[str(reached)]), page)}{anchor})"
        if reached.is_relative_to(DOCS):
            return f"[{text}]({_relative(reached.relative_to(DOCS), page)}{anchor})"
        return text

    pieces = _FENCE.split(markdown)
    return "".join(piece if index % 2 else _LINK.sub(led, piece) for index, piece in enumerate(pieces))


def _normal(path: PurePosixPath) -> PurePosixPath:
    """A path of the repository without its `..`."""
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts:
            parts.pop()
        elif part != ".":
            parts.append(part)
    return PurePosixPath(*parts)


def _relative(target: PurePosixPath, page: PurePosixPath) -> str:
    return "/".join([*[".."] * (len(page.parts) - 1), *target.parts])
