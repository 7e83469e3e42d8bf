"""`cmdiad reproduce mvtec3d`: what is missing, the tables, and our figures against the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import console
from .evaluate import print_tables

if TYPE_CHECKING:
    from ..reproduce.mvtec3d import Reproduction
    from ..reproduce.needed_files import Need
    from ..reproduce.paper_runs import GridSettings


def run_whole(
    data: Path,
    class_names: Sequence[str],
    settings: GridSettings,
    modes: tuple[bool, bool],
    files: tuple[Path | None, Path | None],
    json: bool,
    quiet: bool,
) -> None:
    """Check, run, print and compare.

    Args:
        data: the dataset's root.
        class_names: which classes; empty: all.
        settings: as given.
        modes: whether to check alone, and whether to run where something is missing.
        files: for the tables as Markdown and as CSV; None: not wanted.
        json: one object on standard output.
        quiet: no progress.

    Raises:
        UsageError: something is missing.
        ParityError: a figure lies outside its tolerance.
    """
    from ..calibration.evaluation.report_files import write_tables
    from ..reproduce.figure_comparison import comparison_table
    from ..reproduce.mvtec3d import look_for_needs, reproduce_main_tables, with_published
    from ..reproduce.needed_files import needs_table

    check, partial = modes
    settings = with_published(settings)
    needs = look_for_needs(data, class_names, settings)
    if not json:
        console.print_titled_table(needs_table(needs))
    if check or (not partial and any(need.is_lacking for need in needs)):
        if json:
            console.emit_json({"needs": needs})
        _require_all(needs)
        return
    with console.progress_display(quiet or json) as progress:
        done = reproduce_main_tables(data, needs, settings, settings.cache, progress)
    tables = [*done.tables, comparison_table(done.comparisons)]
    written = write_tables(tables, *files)
    if json:
        console.emit_json(_as_json(needs, done))
    else:
        print_tables(tables, written)
        console.emit(f"cells (a method on a class): {done.n_run} run, {done.n_kept} finished before")
    _require_within(done)


def _as_json(needs: Sequence[Need], done: Reproduction) -> dict[str, object]:
    tables = [
        {"title": table.title, "headers": table.headers, "rows": table.rows, "note": table.note}
        for table in done.tables
    ]
    counts = {"n_run": done.n_run, "n_kept": done.n_kept, "n_outside": len(done.outside)}
    return {"needs": needs, "tables": tables, "comparisons": done.comparisons, **counts}


def _require_all(needs: Sequence[Need]) -> None:
    from ..runtime.errors import UsageError

    missing = [need.name for need in needs if need.is_lacking]
    if missing:
        raise UsageError(
            f"{len(missing)} of {len(needs)} things that the tables need are missing: {', '.join(missing)}: get them "
            "as the table says, or give --partial to run what can be run"
        )


def _require_within(done: Reproduction) -> None:
    from ..runtime.errors import ParityError

    compared = [cell for cell in done.comparisons if cell.verdict in ("within", "above", "below")]
    if done.outside:
        raise ParityError(
            f"{len(done.outside)} of {len(compared)} figures are outside their tolerance of the paper's: see the table"
        )
