"""The paper's experiments on a dataset at hand: what is missing is trained, then all is exported and evaluated."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import torch
from safetensors.torch import save as encode_safetensors

from ..calibration.calibration_settings import CalibrationSettings
from ..calibration.evaluation.contenders import Candidate
from ..calibration.evaluation.evaluate import evaluate_dataset
from ..calibration.evaluation.outcomes import ClassOutcome
from ..export.bundles import export_bundle
from ..export.export_settings import ExportSettings
from ..runtime.bundle.parameters import Modality
from ..runtime.bundle.reading import Bundle, open_bundle
from ..runtime.errors import EngineError, ParityError, ScanError, UsageError, WeightsError
from ..runtime.files.atomic import atomic_write_bytes
from ..runtime.files.json_encoding import encode_json
from ..runtime.progress import Progress
from ..runtime.reports.table import Table
from ..runtime.sensor.dataset import GOOD, class_name, find_classes, find_samples
from ..training.extractors.by_name import open_extractor
from ..training.published_runs import run_from_checkpoint
from ..training.routes.distillation import DEFAULT, DISTILLATIONS, load_network, serves
from ..training.runs.record import CONFIG, Run, read_run, weights_file, write_run
from ..training.train import CACHE, TrainingSettings, train_route
from .choices import TableNumber
from .paper_tables import Experiment, ExtractorPair, experiments_of, paper_table


@dataclass(frozen=True)
class GridSettings:
    """How the experiments are run.

    Attributes:
        pair: the extractors, where the table does not vary them.
        training: of what has to be trained; route, main modality and extractors are the experiment's.
        runs: existing run folders; one that fits an experiment is taken instead of training.
        checkpoints: published weights of trained routes with the main modality of each, taken before all.
        cache: the folder of the runs that are trained.
        false_reject_rate: of the calibration.
        seed: of the calibration.
        provider: the execution provider.
    """

    pair: ExtractorPair
    training: TrainingSettings
    runs: Sequence[Path]
    checkpoints: Sequence[tuple[Modality, Path]]
    cache: Path
    false_reject_rate: float
    seed: int
    provider: str


def run_paper_table(
    number: TableNumber, data: Path, class_names: Sequence[str], settings: GridSettings, progress: Progress
) -> list[Table]:
    """Run a table's experiments and set them beside the printed figures.

    An experiment that cannot be run, for want of a checkpoint or because a network cannot be trained or exported,
    is left out with its reason in the table's note.

    Args:
        number: of the table.
        data: a dataset root.
        class_names: which classes; empty: all.
        settings: see `GridSettings`.
        progress: called with (stage, done, all, remark).

    Raises:
        UsageError: the dataset is not as described, or a given folder holds no run.
        ScanError: a scan cannot be read or used.
    """
    classes = find_classes(data, class_names)
    for path in settings.runs:
        read_run(path)
    experiments = experiments_of(number, settings.pair, [class_name(folder) for folder in classes])
    outcomes: dict[Experiment, list[ClassOutcome]] = {}
    failures: dict[Experiment, str] = {}
    distinct = list(dict.fromkeys(experiments.values()))
    for pair in dict.fromkeys(experiment.pair for experiment in distinct):
        with tempfile.TemporaryDirectory() as scratch:
            grid = Grid(data, classes, settings, Path(scratch), progress)
            candidates, reasons = grid.candidates([experiment for experiment in distinct if experiment.pair == pair])
            failures.update(reasons)
            if candidates:
                chosen = list(candidates.values())
                evaluation = evaluate_dataset(data, class_names, chosen, settings.provider, progress)
                outcomes.update({experiment: evaluation.of(str(experiment)) for experiment in candidates})
    return paper_table(number, experiments, outcomes, failures)


class Grid:
    """The runs and bundles of one pair of extractors on one dataset."""

    def __init__(
        self, data: Path, classes: Sequence[Path], settings: GridSettings, scratch: Path, progress: Progress
    ) -> None:
        self._data, self._classes, self._settings = data, classes, settings
        self._scratch, self._progress = scratch, progress
        self._bundles: dict[tuple[Path, str, str], Bundle] = {}
        self._published: list[tuple[Run, Path]] | None = None

    def candidates(
        self, experiments: Sequence[Experiment]
    ) -> tuple[dict[Experiment, Candidate], dict[Experiment, str]]:
        """What is evaluated for each experiment, or in one line why there is nothing."""
        candidates: dict[Experiment, Candidate] = {}
        reasons: dict[Experiment, str] = {}
        for experiment in experiments:
            try:
                candidates[experiment] = self.candidate(experiment)
            except (UsageError, WeightsError, EngineError, ParityError) as error:
                reasons[experiment] = " ".join(str(error).split())
        return candidates, reasons

    def candidate(self, experiment: Experiment) -> Candidate:
        """What is evaluated for an experiment; experiments that differ in calibration alone share the bundle.

        Raises:
            UsageError, WeightsError, EngineError, ParityError: it cannot be trained or exported.
        """
        run = self.run(experiment)
        key = run, experiment.route, experiment.main
        if key not in self._bundles:
            path = self._scratch / f"bundle_{len(self._bundles)}"
            export_bundle(run, experiment.route, experiment.main, path, settings=ExportSettings(data=self._data))
            self._bundles[key] = open_bundle(path)
        calibration = CalibrationSettings(
            false_reject_rate=self._settings.false_reject_rate,
            coreset_ratio=experiment.coreset_ratio,
            metric=experiment.metric,
            seed=self._settings.seed,
        )
        return Candidate(str(experiment), self._bundles[key], calibration)

    def run(self, experiment: Experiment) -> Path:
        """The run of an experiment: of a given checkpoint, a given one, one trained before, or a new one.

        Raises:
            UsageError, WeightsError, EngineError: it cannot be trained.
        """
        for run, path in self._published_runs(experiment.pair):
            is_trained_route = experiment.route in DISTILLATIONS
            if fits(run, experiment) and (not is_trained_route or run.main == experiment.main):
                return path
        for path in self._settings.runs:
            if fits(read_run(path)[1], experiment):
                return path
        if not experiment.is_trained:
            return self._untrained(self.run(replace(experiment, is_trained=True)))
        settings = self._training(experiment)
        folder = self._settings.cache / f"{settings.route}-{settings.main}-{self._digest(settings)}"
        if not (folder / CONFIG).is_file():
            names = [class_name(class_folder) for class_folder in self._classes]
            train_route(self._data, names, settings, folder, self._progress, self._settings.cache / CACHE)
        return folder

    def _published_runs(self, pair: ExtractorPair) -> list[tuple[Run, Path]]:
        """The given checkpoints as runs; an F2F one serves its own main modality only, of which it was the best.

        They belong to the pair of extractors that was asked for.
        """
        if pair != self._settings.pair:
            return []
        if self._published is None:
            self._published = []
            settings = replace(self._settings.training, point_extractor=pair.point, image_extractor=pair.image)
            for number, (main, checkpoint) in enumerate(self._settings.checkpoints):
                folder = self._scratch / f"published_{number}"
                self._published.append((run_from_checkpoint(checkpoint, main, settings, folder), folder))
        return self._published

    def _training(self, experiment: Experiment) -> TrainingSettings:
        """The paper's training of the route; a baseline uses no more than an F2F run's extractors."""
        route = DISTILLATIONS.get(experiment.route, DISTILLATIONS[DEFAULT])
        return replace(
            self._settings.training,
            route=route.name,
            main=route.mains(experiment.main)[0],
            point_extractor=experiment.pair.point,
            image_extractor=experiment.pair.image,
        )

    def _digest(self, settings: TrainingSettings) -> str:
        """Names a run in the cache by its settings, the extractors' weights, and the scans' names and sizes."""
        digest = hashlib.sha256(encode_json(settings))
        point = open_extractor(settings.point_extractor, "pc", settings.point_checkpoint)
        image = open_extractor(settings.image_extractor, "rgb", settings.image_checkpoint)
        digest.update(f"{point.digest} {image.digest}\n".encode())
        for folder in self._classes:
            for sample in find_samples(folder, "train", GOOD):
                name = f"{class_name(folder)}/{sample.scan.name} {_size(sample.scan)}\n"
                digest.update(os.fsencode(name))
        return digest.hexdigest()[:12]

    def _untrained(self, trained: Path) -> Path:
        """A run with the same network as it was before training: random weights from the run's seed."""
        folder, run = read_run(trained)
        file = weights_file(run.route)
        network = load_network(folder / file, run.route)
        torch.manual_seed(run.seed)
        for module in network.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
        weights = {name: value.contiguous() for name, value in network.state_dict().items()}
        target = self._scratch / "untrained"
        atomic_write_bytes(target / file, encode_safetensors(weights))
        write_run(target, msgspec.structs.replace(run, epochs=0))
        return target


def _size(scan: Path) -> int:
    """A file's bytes.

    Raises:
        ScanError: it is a link that leads nowhere, or out of reach.
    """
    try:
        return scan.stat().st_size
    except OSError as cause:
        raise ScanError(f"{scan}: cannot be read: {cause.strerror}: repair or remove it") from cause


def fits(run: Run, experiment: Experiment) -> bool:
    """Whether a given run serves an experiment: its extractors, and the route where it is a trained one."""
    if (run.point_extractor, run.image_extractor) != (experiment.pair.point, experiment.pair.image):
        return False
    if experiment.route not in DISTILLATIONS:
        return True
    return experiment.is_trained and serves(run, experiment.route, experiment.main)
