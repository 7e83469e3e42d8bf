"""Where an evaluation's reports go, and what they say about how they were made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...runtime.errors import UsageError
from ...runtime.files.atomic import atomic_write_bytes, is_special, require_writable
from ...runtime.files.json_encoding import encode_text
from ...runtime.proc import cpu_name
from ...runtime.reports.table import Table, tables_as_csv, tables_as_markdown
from ...runtime.threads import usable_processors
from ...version import __version__
from ..calibration_settings import CalibrationSettings
from .outcomes import ClassOutcome, Evaluation, Example
from .report_page import Facts, html_report
from .report_pictures import example_picture
from .report_tables import as_csv, as_json, as_markdown
from .verdicts_by_part import parts_as_csv


@dataclass(frozen=True)
class Destinations:
    """Files to write, and a folder for all of them; None: not wanted. `parts` is a CSV of every test part."""

    markdown: Path | None = None
    csv: Path | None = None
    html: Path | None = None
    folder: Path | None = None
    parts: Path | None = None

    def files(self) -> Iterator[tuple[str, Path]]:
        """The kind (html, md, csv, parts, json) and the place of every file."""
        for kind, path in (("md", self.markdown), ("csv", self.csv), ("html", self.html), ("parts", self.parts)):
            if path is not None:
                yield kind, path
        if self.folder is not None:
            for kind in ("html", "md", "csv", "json"):
                yield kind, self.folder / f"report.{kind}"
            yield "parts", self.folder / "parts.csv"

    def require_writable(self) -> None:
        """Refuse places that cannot be written, before the work of an evaluation.

        Raises:
            OutputError: a file cannot be written.
            UsageError: two files are the same.
        """
        places = [path.resolve() for _, path in self.files() if not is_special(path)]
        for _, path in self.files():
            if path.is_dir():
                raise UsageError(f"{path}: is a folder: name a file, or give --report for a folder with all of them")
            if places.count(path.resolve()) > 1:
                raise UsageError(f"{path}: two reports would be written there: give each a place of its own")
            require_writable(path)


def write_reports(
    evaluation: Evaluation, data: Path, settings: CalibrationSettings, provider: str, wanted: Destinations
) -> list[Path]:
    """Write what is wanted.

    Args:
        evaluation: what to report.
        data: the dataset's root.
        settings: of the calibration.
        provider: the execution provider.
        wanted: where to.

    Returns:
        The files written.

    Raises:
        OutputError: a file cannot be written.
        ScanError: a part that is to be shown cannot be read any more.
    """
    facts = gather_facts(evaluation, data, settings, provider)
    written = []
    for kind, path in wanted.files():
        atomic_write_bytes(path, _encoded(kind, evaluation, facts))
        written.append(path)
    return written


def _encoded(kind: str, evaluation: Evaluation, facts: Facts) -> bytes:
    if kind == "json":
        return as_json(evaluation) + b"\n"
    if kind == "html":
        return encode_text(html_report(evaluation, facts, _draw))
    if kind == "parts":
        return encode_text(parts_as_csv(evaluation))
    return encode_text(as_csv(evaluation) if kind == "csv" else as_markdown(evaluation, facts.title))


def write_tables(tables: Sequence[Table], markdown: Path | None, csv: Path | None) -> list[Path]:
    """Write tables as Markdown or CSV, if wanted, and return the files written.

    Raises:
        OutputError: a file cannot be written.
    """
    written = []
    for path, text in ((markdown, tables_as_markdown(tables)), (csv, tables_as_csv(tables))):
        if path is not None:
            atomic_write_bytes(path, encode_text(text))
            written.append(path)
    return written


def gather_facts(evaluation: Evaluation, data: Path, settings: CalibrationSettings, provider: str) -> Facts:
    """Versions, settings, networks and the machine; no time stamp and no path."""
    name, first = data.resolve().name, evaluation.of(evaluation.names[0])
    lines = [("dataset", name), *(("warning", sentence) for sentence in evaluation.warnings)]
    lines += [(f"normal parts, {outcome.row.class_name}", str(outcome.threshold.n_scans)) for outcome in first]
    for method in evaluation.names:
        manifest = evaluation.of(method)[0].manifest
        networks = ", ".join(f"{role} {network.architecture}" for role, network in sorted(manifest.networks.items()))
        lines.append((method, f"{networks}; {manifest.precision}"))
    lines += [
        ("coreset", f"{settings.coreset_ratio:.3g} of the patches, metric {settings.metric}"),
        ("normalization", settings.normalization),
        ("neighborhood", f"{settings.neighborhood} x {settings.neighborhood} patches"),
        ("seed", str(settings.seed)),
        ("version", _version(evaluation)),
        ("machine", f"{machine_name()}, execution provider {provider}"),
    ]
    return Facts(f"Detection report: {name}", lines)


def machine_name() -> str:
    """The processor and how many of its cores this process may use."""
    return f"{cpu_name()}, {usable_processors()} cores"


def _version(evaluation: Evaluation) -> str:
    commit = evaluation.outcomes[0].manifest.provenance.get("git_commit", "")
    return f"cmdiad {__version__}{f', commit {commit[:12]}' if commit else ''}"


def _draw(outcome: ClassOutcome, example: Example) -> str:
    return example_picture(example, outcome.manifest, outcome.part_range, outcome.pixel_threshold)
