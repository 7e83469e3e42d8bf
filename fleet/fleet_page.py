"""A fleet's table as one self-contained HTML page with sortable columns."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from ..runtime.files.atomic import atomic_write_bytes, require_writable
from ..runtime.files.json_encoding import encode_json_file, encode_text
from ..runtime.reports.page import render_page
from .fleet_run import FleetReport
from .fleet_tables import counted_products, counted_states, products_table, warnings_of

_FOLDER = Path(__file__).parent
_TEMPLATE = _FOLDER / "fleet.html"
_SCRIPT = _FOLDER / "sort_tables.js"
JSON_NAME, PAGE_NAME = "fleet.json", "fleet.html"


def write_report(report: FleetReport, out: Path) -> list[Path]:
    """Write fleet.json and fleet.html into the fleet's folder.

    Raises:
        OutputError: one of them cannot be written.
    """
    atomic_write_bytes(out / JSON_NAME, encode_json_file(report))
    atomic_write_bytes(out / PAGE_NAME, encode_text(fleet_page(report)))
    return [out / JSON_NAME, out / PAGE_NAME]


def require_report_place(out: Path) -> None:
    """Refuse a folder in which nothing can be written, before the work.

    Raises:
        OutputError: nothing can be written there; the message says why.
    """
    require_writable(out / JSON_NAME)


def fleet_page(report: FleetReport) -> str:
    """The whole page; the browser runs only the one script whose digest the page names."""
    script = _SCRIPT.read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return render_page(
        _TEMPLATE,
        title="Fleet",
        report=report,
        states=counted_states(report),
        products=products_table(report),
        n_products=counted_products(report),
        warnings=[*report.warnings, *(warning for outcome in report.products for warning in warnings_of(outcome))],
        script=script,
        script_digest=f"sha256-{digest}",
    )
