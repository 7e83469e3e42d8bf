"""The files of the live page: a fixed list, read from the package; no path of a request is ever opened."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_MODULES = (
    "app",
    "bundles",
    "chart",
    "cloud",
    "colors",
    "dom",
    "feed",
    "history",
    "interface",
    "line_status",
    "marks",
    "part_list",
    "part_view",
    "session",
    "shading",
    "theme",
    "words",
)
_NAMES = (
    "style.css",
    "icon.svg",
    *(f"{module}.js" for module in _MODULES),
    "vendor/three.module.min.js",
    "vendor/three.core.min.js",
    "vendor/OrbitControls.js",
    "vendor/uPlot.iife.min.js",
    "vendor/uPlot.min.css",
)
# What all pages have: it stands in them as a comment that names its file.
SHARED_FILES = ("login.html", "views.html")
# What a browser may ask for, and the file in the package that it gets.
PAGE_FILES = {"/": "index.html", "/docs": "docs.html", **{f"/page/{name}": name for name in _NAMES}}


@dataclass(frozen=True)
class PageFile:
    """A file as it is sent.

    Attributes:
        content: its bytes.
        kind: its media type.
        tag: changes with its content; browsers ask by it whether theirs is still the one.
    """

    content: bytes
    kind: str
    tag: str


@cache
def page_file(path: str) -> PageFile:
    """The file behind a path of `PAGE_FILES`."""
    name = PAGE_FILES[path]
    content = _bytes_of(name)
    for shared in SHARED_FILES if name.endswith(".html") else ():
        content = content.replace(f"<!-- {shared} -->".encode(), _bytes_of(shared).strip())
    return PageFile(content, _KINDS[name.rpartition(".")[2]], f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def _bytes_of(name: str) -> bytes:
    return files(__package__).joinpath("page", *name.split("/")).read_bytes()
