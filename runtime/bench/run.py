"""One run of `cmdiad-rt bench`: from what a user asked for to the report and its files."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ..bundle.reading import Bundle, find_bundle, open_bundle, require_calibration
from ..errors import UsageError
from ..files.atomic import atomic_write_bytes, require_writable
from ..files.json_encoding import encode_text
from ..patches.routes import modalities
from ..sensor.dataset import find_samples
from .measuring.configuration import Choices, combinations, labels
from .measuring.host import describe_host
from .measuring.inputs import bench_scans
from .measuring.loadgen import import_loadgen
from .measuring.matrix import Job, Progress, run_matrix
from .measuring.report import NAME, Report, encode_report
from .measuring.scenarios import Plan, Scenario
from .reporting.html import html_report
from .reporting.markdown import markdown_report
from .reporting.takt_verdict import judge

LOADGEN_LOGS = "loadgen"


@dataclass(frozen=True)
class BenchRequest:
    """What a user asked for.

    Attributes:
        bundles: folders or files; empty: $CMDIAD_BUNDLE, else ./bundle.
        choices: the matrix.
        scenarios, plan: what to measure, and how long.
        scans: files, folders or globs; empty: the bundle's golden scans.
        out: the report's folder.
        loadgen: whether LoadGen drives each scenario too.
        test: a class folder with a labeled test split.
    """

    scenarios: Sequence[Scenario]
    plan: Plan
    out: Path
    bundles: Sequence[Path] = ()
    choices: Choices = field(default_factory=Choices)
    scans: Sequence[str] = ()
    loadgen: bool = False
    test: Path | None = None


def run_bench(request: BenchRequest, progress: Progress) -> tuple[Report, bool]:
    """Measure every configuration, and write report.json, report.md and report.html.

    Returns:
        The report, and whether Ctrl-C ended it early.

    Raises:
        CmdiadError: nothing could be measured: the reason of the first configuration.
        OutputError: the report cannot be written.
    """
    if request.loadgen:
        import_loadgen()
    require_writable(request.out / NAME)
    opened = [open_bundle(find_bundle(path)) for path in (request.bundles or (None,))]
    _check_calibrated(opened)
    _check_sensors(opened)
    if request.test is not None:
        find_samples(request.test, "test")
    configurations, skipped = combinations(
        {str(bundle.path): bundle.manifest.precision for bundle in opened}, request.choices
    )
    machine = describe_host()
    with tempfile.TemporaryDirectory(prefix="cmdiad-bench-") as scratch:
        job = Job(
            scenarios=request.scenarios,
            plan=request.plan,
            scans=bench_scans(list(request.scans), opened[0], Path(scratch)),
            loadgen=request.out.absolute() / LOADGEN_LOGS if request.loadgen else None,
            test=request.test,
        )
        names = labels([*configurations, *(each.configuration for each in skipped)])
        measured, error = run_matrix(configurations, names[: len(configurations)], job, progress)
    if error is not None and not measured.outcomes:
        raise error
    report = Report(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        partial=measured.interrupted,
        machine=machine,
        plan=request.plan,
        outcomes=measured.outcomes,
        skipped=[*measured.skipped, *skipped],
        verdict=judge(measured.outcomes, labels([each.configuration for each in measured.outcomes])),
    )
    write_report(report, request.out)
    return report, measured.interrupted


def write_report(report: Report, out: Path) -> None:
    """Write the three files; report.html needs nothing beside it."""
    atomic_write_bytes(out / NAME, encode_report(report))
    atomic_write_bytes(out / "report.md", encode_text(markdown_report(report)))
    atomic_write_bytes(out / "report.html", encode_text(html_report(report)))


def _check_calibrated(bundles: Sequence[Bundle]) -> None:
    for bundle in bundles:
        require_calibration(bundle)


def _check_sensors(bundles: Sequence[Bundle]) -> None:
    """The same scans go through all bundles."""
    first = bundles[0]
    for bundle in bundles[1:]:
        if modalities(bundle.manifest) != modalities(first.manifest):
            raise UsageError(
                f"{bundle.path}: is given other files than {first.path} (scans, images or both): measure them apart"
            )
