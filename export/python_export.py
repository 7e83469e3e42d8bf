"""`cmdiad.export` and `cmdiad.evaluate`: what the commands of these names do, for programs.

Only the command builds TensorRT engines, in processes of their own.

    manifest = cmdiad.export("runs/latest", out="exported")
    for row in cmdiad.evaluate("data").rows:
        print(row.class_name, row.i_auroc)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..calibration.calibration_settings import CalibrationSettings
from ..runtime.bundle.parameters import DEFAULT_ROUTE, Modality, RouteName
from ..runtime.errors import UsageError
from ..runtime.extras import EVALUATE, EXPORT, require_extras
from ..runtime.progress import Progress
from .export_settings import DEFAULTS, PRECISION, ExportSettings

if TYPE_CHECKING:
    from ..calibration.evaluation.outcomes import Evaluation
    from ..runtime.bundle.manifest import Manifest

LATEST_RUN = "runs/latest"


def export(
    run: str | Path = LATEST_RUN,
    route: RouteName = DEFAULT_ROUTE,
    main: Modality = "pc",
    out: str | Path | None = None,
    settings: ExportSettings = DEFAULTS,
    *,
    bundle: str | Path | None = None,
    product: str | None = None,
    force: bool = False,
    progress: Progress = lambda *_: None,
) -> Manifest:
    """Export a trained route's networks, checked against torch, as a bundle to calibrate, as `cmdiad export` does.

    Args:
        run: a run folder of `cmdiad train`.
        route: a distillation route, or a baseline: single, dual.
        main: the main modality, what the line measures.
        out: a folder, or a file ending in .cmdiad; None: ./bundle, or `bundle` itself if that is given.
        settings: precision, and the scans of the parity gate.
        bundle: an exported bundle to convert to the precision of `settings`; None: the run is exported.
        product: what the bundle inspects; None: the run's class, if it has only one.
        force: replace a bundle that is calibrated.
        progress: called with (stage, done, all, remark).

    Raises:
        UsageError: no such run, a calibrated bundle at `out`, no scans for the gate, or a missing extra.
        ParityError: a graph does not compute what its torch network does, or a precision loses too much accuracy.
    """
    require_extras("export", EXPORT)
    target = Path(out or bundle or "bundle")
    _protect(target, bundle, settings, force)
    from .bundles import export_bundle, reduce_bundle

    if bundle is not None:
        return reduce_bundle(Path(bundle), target, Path(run), settings, _by_stage(progress))
    return export_bundle(Path(run), route, main, target, product, _by_stage(progress), settings)


def _by_stage(progress: Progress) -> Callable[[str], None]:
    return lambda stage: progress(stage, 0, 1, "")


def _protect(target: Path, bundle: str | Path | None, settings: ExportSettings, force: bool) -> None:
    """Refuse arguments that make no sense, and to replace a calibrated bundle other than the one to be changed.

    Raises:
        UsageError: the message says what to do.
    """
    from ..runtime.bundle.writing import protect_calibration

    if bundle is not None and settings.precision == PRECISION:
        raise UsageError("a bundle is exported in float32 already: give settings with another precision, or no bundle")
    if not force and (bundle is None or target.resolve() != Path(bundle).resolve()):
        protect_calibration(target, "give `out` another name to keep it, or `force=True` to replace it")


def evaluate(
    data: str | Path,
    routes: Sequence[RouteName] = (DEFAULT_ROUTE,),
    mains: Sequence[Modality] = ("pc",),
    runs: Sequence[str | Path] = (LATEST_RUN,),
    settings: CalibrationSettings | None = None,
    *,
    class_names: Sequence[str] = (),
    provider: str = "cpu",
    report: str | Path | None = None,
    progress: Progress = lambda *_: None,
) -> Evaluation:
    """Calibrate each class of a labeled dataset and score its test parts with the exported networks, as on the line.

    Args:
        data: a dataset root in the layout of MVTec 3D-AD or Eyecandies.
        routes: the routes to evaluate.
        mains: the main modalities to evaluate them with.
        runs: run folders of `cmdiad train`; each route takes the first that was trained for it.
        settings: of the calibration; None: the paper's.
        class_names: the classes to evaluate; empty: all.
        provider: what runs the networks.
        report: a folder for report.html, .md, .csv and .json; None: nothing is written.
        progress: called with (stage, done, all, remark).

    Raises:
        UsageError: no such run or dataset, or a missing extra.
        ScanError: a scan cannot be read or used.
    """
    require_extras("evaluate", EVALUATE)
    from ..calibration.evaluation.report_files import Destinations, write_reports
    from .evaluate_runs import evaluate_runs, routes_of

    wanted = Destinations(None, None, None, None if report is None else Path(report))
    wanted.require_writable()
    chosen, calibration = routes_of(routes, mains), settings or CalibrationSettings()
    folders = [Path(run) for run in runs]
    evaluation = evaluate_runs(Path(data), class_names, folders, chosen, calibration, provider, progress)
    write_reports(evaluation, Path(data), calibration, provider, wanted)
    return evaluation
