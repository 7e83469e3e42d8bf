"""The paper's main tables on MVTec 3D-AD with the published checkpoints, class by class; what is finished is kept."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..calibration.evaluation.evaluate import evaluate_dataset
from ..runtime.bundle.parameters import Modality
from ..runtime.progress import Progress
from ..runtime.reports.table import Table
from ..runtime.sensor.dataset import find_classes, list_samples
from ..training.extractors.by_name import open_extractor
from ..training.routes.distillation import DISTILLATIONS, serves
from ..training.routes.route_checkpoints import open_route_checkpoint
from ..training.runs.record import CONFIG, read_run, weights_file
from ..training.weights.published import present_file, published_weights
from ..version import __version__
from .choices import TableNumber
from .figure_comparison import FigureComparison, compared_table
from .finished_cells import CellStore, FinishedCell
from .needed_files import (
    ROUTES,
    UNPUBLISHED,
    Need,
    file_sha256,
    needed_classes,
    needed_extractors,
    needed_routes,
)
from .paper_runs import Grid, GridSettings, fits
from .paper_tables import PAPER_PAIR, Experiment, experiments_of, paper_table

TABLES: tuple[TableNumber, ...] = ("2", "3", "a1", "a3")
_NOT_HERE = "its weights are not here, and nothing is trained for this command"


@dataclass(frozen=True)
class Reproduction:
    """What was run, or found from before.

    Attributes:
        tables: as the paper has them, a line of the paper's and one of ours.
        comparisons: every printed figure of our methods, with its verdict.
        n_run: cells (a method on a class) that were run now.
        n_kept: those that were finished before.
    """

    tables: list[Table]
    comparisons: list[FigureComparison]
    n_run: int
    n_kept: int

    @property
    def outside(self) -> list[FigureComparison]:
        """The figures that lie outside their tolerance."""
        return [cell for cell in self.comparisons if cell.verdict in ("above", "below")]


def with_published(settings: GridSettings) -> GridSettings:
    """The settings with the published routes in the weights folder, where the extractors are the paper's.

    A checkpoint that was given comes before them.
    """
    if settings.pair != PAPER_PAIR:
        return settings
    published: dict[str, Modality] = {
        name: "pc" if name.endswith("pc") else "rgb" for name in ROUTES if name not in UNPUBLISHED
    }
    files = {name: present_file(published_weights(name)) for name in published}
    present = [(published[name], path) for name, path in files.items() if path is not None]
    return replace(settings, checkpoints=[*settings.checkpoints, *present])


def look_for_needs(data: Path, class_names: Sequence[str], settings: GridSettings) -> list[Need]:
    """Everything that the tables need, here or not; see `needed_files`.

    Args:
        data: the dataset's root.
        class_names: which classes; empty: the paper's ten, and what else is here.
        settings: with the checkpoints that were given and found.

    Raises:
        UsageError: the root is not a folder, or a given folder holds no run.
        WeightsError: a checkpoint that is here is not a route's.
    """
    training = settings.training
    given = [(main, path, open_route_checkpoint(path)[0].name) for main, path in settings.checkpoints if path.is_file()]
    absent = [
        Need(path.name, "route", "missing", path, "the file that was given", "-")
        for _, path in settings.checkpoints
        if not path.is_file()
    ]
    known = [read_run(path)[1] for path in settings.runs]
    mains: tuple[Modality, ...] = ("pc", "rgb")
    served = [
        f"{route}-{main}" for route in DISTILLATIONS for main in mains for run in known if serves(run, route, main)
    ]
    routes = needed_routes(list(reversed(given)), served)
    if settings.pair != PAPER_PAIR:
        remark = f"train it with {settings.pair} (cmdiad train), and give --run"
        routes = [replace(need, source="-", place=None, remark=remark) if need.is_lacking else need for need in routes]
    extractors = needed_extractors(settings.pair, training.point_checkpoint, training.image_checkpoint)
    return [*needed_classes(data, class_names), *extractors, *routes, *absent]


def reproduce_main_tables(
    data: Path, needs: Sequence[Need], settings: GridSettings, out: Path, progress: Progress
) -> Reproduction:
    """Run what has not finished yet, and put everything beside the printed figures.

    A method whose weights are not here is left out with its reason; nothing is trained.

    Args:
        data: the dataset's root.
        needs: from `look_for_needs`.
        settings: of `with_published`.
        out: where finished cells are kept.
        progress: called with (stage, done, all, remark).

    Raises:
        UsageError, ScanError: a class cannot be read or used.
        OutputError: nothing can be written at `out`.
    """
    names = [need.name for need in needs if need.kind == "class" and need.state in ("here", "differs")]
    experiments = {number: experiments_of(number, settings.pair, names) for number in TABLES}
    distinct = list(dict.fromkeys(one for places in experiments.values() for one in places.values()))
    extractors = _extractor_digests(needs, settings)
    weights = {experiment: _weights_of(experiment, extractors, needs, settings) for experiment in distinct}
    failures = {experiment: _NOT_HERE for experiment in distinct if weights[experiment] is None}
    with tempfile.TemporaryDirectory() as scratch:
        grid = Grid(data, [], settings, Path(scratch), progress)
        runner = _Runner(data, settings, grid, CellStore(out), progress, failures)
        for name in names:
            runner.run_class(name, {experiment: text for experiment, text in weights.items() if text is not None})
    comparable = _comparable_classes(needs, settings)
    comparisons = [
        cell for table in TABLES for cell in compared_table(table, experiments[table], runner.cells, comparable)
    ]
    tables = [one for table in TABLES for one in paper_table(table, experiments[table], runner.cells, failures)]
    return Reproduction(tables, comparisons, runner.n_run, runner.n_kept)


class _Runner:
    """Runs cells that are not finished, class by class, with the bundles of one pair of extractors."""

    def __init__(
        self,
        data: Path,
        settings: GridSettings,
        grid: Grid,
        store: CellStore,
        progress: Progress,
        failures: dict[Experiment, str],
    ) -> None:
        self._data, self._settings, self._store, self._progress = data, settings, store, progress
        self._grid, self._failures = grid, failures
        self.cells: dict[Experiment, list[FinishedCell]] = {}
        self.n_run = self.n_kept = 0

    def run_class(self, name: str, weights: dict[Experiment, str]) -> None:
        """Every experiment on one class: found, or run and kept."""
        (folder,) = find_classes(self._data, [name])
        scans = _scans_of(folder)
        keys = {
            experiment: CellStore.key(experiment, name, [digest, scans, self._circumstances()])
            for experiment, digest in weights.items()
            if experiment not in self._failures
        }
        kept = {experiment: cell for experiment, key in keys.items() if (cell := self._store.find(key)) is not None}
        candidates, reasons = self._grid.candidates([one for one in keys if one not in kept])
        self._failures.update(reasons)
        if candidates:
            provider = self._settings.provider
            evaluation = evaluate_dataset(self._data, [name], list(candidates.values()), provider, self._progress)
            for experiment in candidates:
                (outcome,) = evaluation.of(str(experiment))
                self._add(experiment, self._store.keep(keys[experiment], experiment, outcome))
                self.n_run += 1
        for experiment, cell in kept.items():
            self._add(experiment, cell)
            self.n_kept += 1

    def _add(self, experiment: Experiment, cell: FinishedCell) -> None:
        self.cells.setdefault(experiment, []).append(cell)

    def _circumstances(self) -> object:
        settings = self._settings
        return [
            settings.false_reject_rate,
            settings.seed,
            settings.provider,
            settings.training.preprocessing,
            __version__,
        ]


def _scans_of(folder: Path) -> list[tuple[str, int]]:
    """Names and sizes of the parts that a class's figures are made from."""
    samples = [*list_samples(folder, "train"), *list_samples(folder, "test")]
    return [(str(sample.scan.relative_to(folder)), sample.scan.stat().st_size) for sample in samples]


def _extractor_digests(needs: Sequence[Need], settings: GridSettings) -> list[str]:
    """Of the pair's weights; empty where one is not here."""
    if any(need.is_lacking for need in needs if need.kind == "extractor"):
        return []
    training = settings.training
    return [
        open_extractor(settings.pair.point, "pc", training.point_checkpoint).digest,
        open_extractor(settings.pair.image, "rgb", training.image_checkpoint).digest,
    ]


def _weights_of(
    experiment: Experiment, extractors: Sequence[str], needs: Sequence[Need], settings: GridSettings
) -> str | None:
    """Digests of what an experiment runs; None where something of it is not here."""
    if not extractors:
        return None
    if experiment.route not in DISTILLATIONS:
        # A baseline takes no more than its extractors from a run or a checkpoint.
        is_carried = bool(settings.checkpoints) or any(fits(read_run(path)[1], experiment) for path in settings.runs)
        return " ".join(extractors) if is_carried else None
    route = next(need for need in needs if need.name == f"{experiment.route}-{experiment.main}")
    if route.state not in ("here", "differs"):
        return None
    if route.place is not None:
        return " ".join([*extractors, route.digest])
    folder, run = next(
        (folder, run) for folder, run in map(read_run, settings.runs) if serves(run, experiment.route, experiment.main)
    )
    return " ".join([*extractors, *(file_sha256(folder / name) for name in (CONFIG, weights_file(run.route)))])


def _comparable_classes(needs: Sequence[Need], settings: GridSettings) -> set[str]:
    """The classes whose figures may be set against the paper's: its dataset, its extractors, its weights."""
    training = settings.training
    checkpoints = training.point_checkpoint, training.image_checkpoint
    is_seeded = any((given or "").startswith("random:") for given in checkpoints)
    has_other_weights = any(need.state == "differs" for need in needs if need.kind != "class")
    if settings.pair != PAPER_PAIR or is_seeded or has_other_weights:
        return set()
    return {need.name for need in needs if need.kind == "class" and need.state == "here"}
