"""What is done for one product, step by step; a step is kept if nothing that it is made from has changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ..runtime.bundle.reading import Bundle, open_bundle
from ..runtime.errors import CmdiadError, UsageError, as_cmdiad_error
from ..runtime.sensor.dataset import find_classes
from ..version import __version__
from .product_task import (
    CalibratedProduct,
    EvaluatedProduct,
    ExportedNetworks,
    MeasuredProduct,
    ProductOutcome,
    ProductTask,
    Step,
    StepFailure,
)
from .step_folder import made_or_kept, step_key

NO_LABELED_PARTS = "has no labeled parts to evaluate: give its class folder as data"


@dataclass
class _Work:
    """A product's steps so far: which were done or kept, and their results."""

    task: ProductTask
    step: Step | None = None
    done: list[Step] = field(default_factory=list)
    kept: list[Step] = field(default_factory=list)
    results: dict[str, Any] = field(default_factory=dict)

    def take(self, kept: tuple[Any, bool]) -> None:
        """The outcome of `made_or_kept` for the step at hand."""
        assert self.step is not None
        result, was_there = kept
        (self.kept if was_there else self.done).append(self.step)
        self.results[_RESULT_OF[self.step]] = result


def run_task(task: ProductTask) -> ProductOutcome:
    """Do a product's steps, one after the other; an error ends this product and no other.

    Example:
        >>> run_task(task).error is None  # doctest: +SKIP
        True
    """
    work, begun, failure = _Work(task), time.monotonic(), None
    try:
        _require_same_version(task)
        for step in task.steps:
            work.step = step
            _DO[step](work)
    except Exception as error:
        failure = failure_of(work.step, error, task.product.name)
    bundle = task.bundle("calibrate")
    return ProductOutcome(
        product=task.product.name,
        bundle=str(bundle) if bundle.is_file() else None,
        done=work.done,
        kept=work.kept,
        error=failure,
        seconds=time.monotonic() - begun,
        **work.results,
    )


def failure_of(step: Step | None, error: Exception, product: str) -> StepFailure:
    """An error as a product's outcome; what it is called begins with the product's name."""
    known = as_cmdiad_error(error)
    return StepFailure(step=step, kind=known.kind, message=f"{product}: {known}", exit_code=known.exit_code)


def _require_same_version(task: ProductTask) -> None:
    if not task.steps:
        raise UsageError("there is nothing to export: it has a bundle: give its run, or ask for --calibrate")
    if task.version != __version__:
        raise UsageError(
            f"was asked for by cmdiad {task.version}, and this machine has {__version__}: install the same on all"
        )


def _export(work: _Work) -> None:
    from ..runtime.extras import EXPORT, require_extras
    from ..runtime.sensor.dataset import data_digest
    from ..training.runs.record import CONFIG, read_run, weights_file

    product, folder = work.task.product, work.task.folder("export")
    place, run = read_run(Path(product.run or ""))
    files = data_digest([place / CONFIG, place / weights_file(run.route)])
    key = step_key("export", run=files, route=product.route, main=product.main, product=product.name)

    def make(new: Path) -> ExportedNetworks:
        require_extras("fleet --export", EXPORT)
        from ..export.bundles import export_bundle

        target = new / f"{product.name}.cmdiad"
        return ExportedNetworks(digest=export_bundle(place, product.route, product.main, target, product.name).digest)

    whole = _holds(work.task.bundle("export"))
    work.take(made_or_kept(folder, key, ExportedNetworks, make, whole))


def _calibrate(work: _Work) -> None:
    from .product_calibration import calibration_inputs

    product, task = work.task.product, work.task
    inputs = calibration_inputs(product, Path(product.bundle) if product.bundle else task.bundle("export"))
    last = task.bundle("calibrate")

    def make(new: Path) -> CalibratedProduct:
        return inputs.calibrate(new / f"{product.name}.cmdiad", last)

    whole = _holds(last)
    work.take(made_or_kept(task.folder("calibrate"), inputs.key, CalibratedProduct, make, whole))


def _evaluate(work: _Work) -> None:
    from ..calibration.evaluation.bundle_scoring import score_bundle
    from ..runtime.patches.routes import modalities
    from ..runtime.sensor.dataset import find_samples
    from .input_digests import sample_digests

    bundle = _calibrated(work)
    folder, provider = _class_folder(work), work.task.product.provider
    tested = sample_digests(find_samples(folder, "test"), modalities(bundle.manifest))
    key = step_key("evaluate", bundle=bundle.manifest.digest, test=tested, provider=provider)

    def make(new: Path) -> EvaluatedProduct:
        outcome, doubts = score_bundle(bundle, folder, provider, lambda *_: None)
        told = outcome.verdicts
        counts = {name: getattr(told, name) for name in told.__dataclass_fields__}
        row = msgspec.structs.replace(outcome.row, class_name=work.task.product.name)
        return EvaluatedProduct(row=row, warnings=doubts, **counts)

    work.take(made_or_kept(work.task.folder("evaluate"), key, EvaluatedProduct, make))


def _bench(work: _Work) -> None:
    from .product_bench import measuring_of

    bundle = _calibrated(work)
    key, make = measuring_of(work.task, bundle)
    work.take(made_or_kept(work.task.folder("bench"), key, MeasuredProduct, make))


def _calibrated(work: _Work) -> Bundle:
    return open_bundle(work.task.bundle("calibrate"))


def _class_folder(work: _Work) -> Path:
    product = work.task.product
    if product.data is None:
        raise UsageError(NO_LABELED_PARTS)
    folders = find_classes(Path(product.data))
    if len(folders) != 1:
        raise UsageError(f"{product.data}: holds {len(folders)} classes: give the class folder of this product as data")
    return folders[0]


def _holds(bundle: Path) -> Callable[[Any], bool]:
    """Whether a bundle is there, whole, and the one that a result is about."""

    def check(result: ExportedNetworks | CalibratedProduct) -> bool:
        try:
            return open_bundle(bundle).manifest.digest == result.digest
        except CmdiadError:
            return False

    return check


_RESULT_OF: dict[Step, str] = {
    "export": "exported",
    "calibrate": "calibrated",
    "evaluate": "evaluated",
    "bench": "measured",
}
_DO: dict[Step, Callable[[_Work], None]] = {
    "export": _export,
    "calibrate": _calibrate,
    "evaluate": _evaluate,
    "bench": _bench,
}
