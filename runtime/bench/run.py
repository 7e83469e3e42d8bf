"""One run of `cmdiad-rt bench`: from what a user asked for to the report and its files."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ..bundle.reading import Bundle, find_bundle, open_bundle, require_calibration
from ..bundle.signature import TrustedKeys
from ..errors import UsageError
from ..files.atomic import atomic_write_bytes, require_writable
from ..files.json_encoding import encode_text
from ..patches.routes import modalities
from ..progress import Progress
from ..sensor.dataset import find_samples
from .measuring.configuration import Choices, Skipped, combinations, labels
from .measuring.host import describe_host
from .measuring.inputs import bench_scans
from .measuring.loadgen import import_loadgen
from .measuring.matrix import Job, MatrixRun, run_matrix
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
        trusted: whose signature every bundle must have; None: nobody's.
    """

    scenarios: Sequence[Scenario]
    plan: Plan
    out: Path
    bundles: Sequence[Path] = ()
    choices: Choices = field(default_factory=Choices)
    scans: Sequence[str] = ()
    loadgen: bool = False
    test: Path | None = None
    trusted: TrustedKeys | None = None


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
    bundles = [open_bundle(find_bundle(path), request.trusted) for path in (request.bundles or (None,))]
    _check_bundles(bundles)
    if request.test is not None:
        find_samples(request.test, "test")
    host = describe_host()
    run, missing = _measure(request, bundles, progress)
    report = Report(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        partial=run.interrupted,
        machine=host,
        plan=request.plan,
        outcomes=run.outcomes,
        skipped=[*run.skipped, *missing],
        verdict=judge(run.outcomes, labels([outcome.configuration for outcome in run.outcomes])),
    )
    write_report(report, request.out)
    return report, run.interrupted


def _measure(request: BenchRequest, bundles: Sequence[Bundle], progress: Progress) -> tuple[MatrixRun, list[Skipped]]:
    """What was measured of the matrix, and the combinations that no bundle can give.

    Raises:
        CmdiadError: nothing could be measured: the reason of the first configuration.
    """
    precisions = {str(bundle.path): bundle.manifest.precision for bundle in bundles}
    configurations, missing = combinations(precisions, request.choices)
    with tempfile.TemporaryDirectory(prefix="cmdiad-bench-") as scratch:
        job = Job(
            scenarios=request.scenarios,
            plan=request.plan,
            scans=bench_scans(list(request.scans), bundles[0], Path(scratch)),
            loadgen=request.out.absolute() / LOADGEN_LOGS if request.loadgen else None,
            test=request.test,
            trusted=request.trusted,
        )
        # Named beside those that are missing: a name tells apart all that the report shows.
        names = labels([*configurations, *(skipped.configuration for skipped in missing)])
        run, error = run_matrix(configurations, names[: len(configurations)], job, progress)
    if error is not None and not run.outcomes:
        raise error
    return run, missing


def write_report(report: Report, out: Path) -> None:
    """Write the three files; report.html needs nothing beside it."""
    atomic_write_bytes(out / NAME, encode_report(report))
    atomic_write_bytes(out / "report.md", encode_text(markdown_report(report)))
    atomic_write_bytes(out / "report.html", encode_text(html_report(report)))


def _check_bundles(bundles: Sequence[Bundle]) -> None:
    """All are calibrated, and of the same sensors: the same scans go through all of them."""
    for bundle in bundles:
        require_calibration(bundle)
    first = bundles[0]
    for bundle in bundles[1:]:
        if modalities(bundle.manifest) != modalities(first.manifest):
            raise UsageError(
                f"{bundle.path}: is given other files than {first.path} (scans, images or both): measure them apart"
            )
