"""The files of the live page: a fixed list, read from the package; no path of a request is ever opened."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

PAGE_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
}


@cache
def page_file(path: str) -> tuple[bytes, str]:
    """Content and media type of a path of `PAGE_FILES`."""
    name, kind = PAGE_FILES[path]
    return files(__package__).joinpath("page", name).read_bytes(), kind
