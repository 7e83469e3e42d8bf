"""Self-contained HTML pages: templates, and the style sheet that all pages share."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).with_name("templates")


def render_page(template: Path, **values: object) -> str:
    """The page of a template, which extends `page.html` and takes `table` and `chart` from `macros.html`.

    Every value is escaped, so that no name of a file or folder becomes markup.

    Args:
        template: the file.
        values: what it shows, by name.
    """
    return _environment(template.parent).get_template(template.name).render(**values)


@cache
def _environment(folder: Path) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader([folder, _TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
