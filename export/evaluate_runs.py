"""Evaluate runs: each route's networks are exported, calibrated on every class and scored on its test parts."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from warnings import warn

from ..calibration.calibration_settings import CalibrationSettings
from ..calibration.evaluation.contenders import Candidate
from ..calibration.evaluation.evaluate import evaluate_dataset
from ..calibration.evaluation.outcomes import Evaluation
from ..runtime.bundle.parameters import Modality, RouteName, ScoreName
from ..runtime.bundle.reading import Bundle, open_bundle
from ..runtime.patches.routes import route_of
from ..runtime.progress import Progress
from ..runtime.sensor.dataset import class_name, find_classes
from ..runtime.sensor.file_copies import listed
from ..runtime.sensor.sensor_file import adapted
from ..training.routes.distillation import serves
from ..training.runs.record import Run, read_run
from .bundles import export_bundle
from .export_settings import ExportSettings


def evaluate_runs(
    data: Path,
    class_names: Sequence[str],
    runs: Sequence[Path],
    routes: Sequence[tuple[RouteName, Modality]],
    settings: CalibrationSettings,
    provider: str,
    progress: Progress,
    sensor: tuple[str | None, Sequence[str]] = (None, ()),
    scores: Sequence[ScoreName] = (),
) -> Evaluation:
    """Evaluate routes, each with the run that trained it.

    Args:
        data: a dataset root in the MVTec 3D-AD layout.
        class_names: which classes; empty: all.
        runs: run folders of `cmdiad train`; a route takes the first that was trained for it and its main modality,
            a baseline the very first.
        routes: each with its main modality.
        settings: of the calibration.
        provider: the execution provider.
        progress: called with (stage, done, all, remark).
        sensor: a sensor file or preset, and values of its description, in place of the runs' own.
        scores: each is evaluated once; none: that of the settings.

    Raises:
        UsageError: there is no such run, or none that was trained for a route; the dataset is not as described.
        ScanError: a scan cannot be read or used.
    """
    with tempfile.TemporaryDirectory() as scratch:
        candidates: list[Candidate] = []
        doubts = _run_doubts(runs, routes, data, class_names)
        for number, (route, main) in enumerate(routes):
            progress("export", number, len(routes), route)
            path = Path(scratch) / f"{route}_{main}"
            export_bundle(choose_run(runs, route, main), route, main, path, settings=ExportSettings(data=data))
            candidates += _candidates(open_bundle(path), settings, scores or [settings.score], sensor)
        progress("export", len(routes), len(routes), "")
        evaluation = evaluate_dataset(data, class_names, candidates, provider, progress)
        return replace(evaluation, warnings=(*doubts, *evaluation.warnings))


def _run_doubts(
    runs: Sequence[Path], routes: Sequence[tuple[RouteName, Modality]], data: Path, class_names: Sequence[str]
) -> list[str]:
    """Classes that the runs never saw, said before the work; see `unlearned_classes`."""
    chosen = [(read_run(choose_run(runs, route, main))[1], route, main) for route, main in routes]
    classes = find_classes(data, class_names)
    doubts = [doubt for asked in chosen for doubt in unlearned_classes(*asked, classes)]
    for doubt in doubts:
        warn(doubt, stacklevel=3)
    return doubts


def unlearned_classes(run: Run, route: RouteName, main: Modality, classes: Sequence[Path]) -> list[str]:
    """A sentence about classes that a route's network never saw; none for a baseline, which learns nothing.

    Of a published checkpoint nobody knows what it was trained on.
    """
    new = [name for name in map(class_name, classes) if name not in run.classes]
    if not new or not run.classes or not route_of(route, main).is_trained:
        return []
    return [
        f"{route_of(route, main).title} was trained on {listed(run.classes)}, and not on {listed(new)}: what it "
        "hallucinates of parts that it never saw means little, and so do these figures: train on these classes, or "
        "give --run with a run that was"
    ]


def _candidates(
    bundle: Bundle,
    settings: CalibrationSettings,
    scores: Sequence[ScoreName],
    sensor: tuple[str | None, Sequence[str]],
) -> list[Candidate]:
    """A bundle with each of the scores."""
    manifest = bundle.manifest
    described = adapted(manifest.description, *sensor)
    told = None if described is None else described.preprocessing
    return [
        Candidate(candidate_name(manifest.route, manifest.main, score), bundle, replace(settings, score=score), told)
        for score in dict.fromkeys(scores)
    ]


def candidate_name(route: RouteName, main: Modality, score: ScoreName) -> str:
    """What reports call a route with a score.

    Example:
        >>> candidate_name("single", "pc", "map")
        'Single bank, PC, map'
    """
    title = route_of(route, main).title
    return title if score == "paper" else f"{title}, {score}"


def routes_of(routes: Sequence[RouteName], mains: Sequence[Modality]) -> list[tuple[RouteName, Modality]]:
    """Every route with every main modality; dual banks are the same with either, and come once.

    Example:
        >>> routes_of(["f2f", "dual"], ["pc", "rgb"])
        [('f2f', 'pc'), ('dual', 'pc'), ('f2f', 'rgb')]
    """
    pairs = ((route, mains[0] if route_of(route, main).is_symmetric else main) for main in mains for route in routes)
    return list(dict.fromkeys(pairs))


def choose_run(runs: Sequence[Path], route: RouteName, main: Modality) -> Path:
    """The first run that was trained for a route, or the very first.

    Raises:
        UsageError: a folder holds no run.
    """
    fitting = [path for path, run in [(path, read_run(path)[1]) for path in runs] if serves(run, route, main)]
    return fitting[0] if fitting else runs[0]
