"""Run a fleet of products: one after the other in this process, or side by side on Ray, with the same function."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from ..runtime.errors import ScanError, UsageError
from ..runtime.extras import FLEET, has_extras, require_extras
from ..runtime.threads import usable_processors
from ..version import __version__
from .fleet_warnings import fleet_warnings
from .product_steps import NO_LABELED_PARTS, failure_of, run_task
from .product_task import ProductOutcome, ProductTask, Step, steps_of
from .products_file import FleetProduct, FleetTable, missing_places, read_products

Told = Callable[[ProductOutcome, int, int], None]


@dataclass(frozen=True)
class FleetRequest:
    """What a user asked for.

    Attributes:
        file: `products.toml`.
        steps: what is done for each product.
        names: of the products; empty: all.
        workers: products at a time; None: as many as there are processors where Ray is installed, else one.
        address: of a Ray cluster; None: this machine.
    """

    file: Path
    steps: Sequence[Step]
    names: Sequence[str] = ()
    workers: int | None = None
    address: str | None = None


class FleetReport(msgspec.Struct, frozen=True, kw_only=True):
    """The whole outcome; `fleet.json` and `cmdiad fleet --json`.

    Attributes:
        version: of the program.
        created: when it ended, UTC.
        runner: on what the products were done, in words.
        steps: what was asked for.
        seconds: the time that all took.
        products: in the file's order.
        listed: how many products the file has; those that `--product` left out are not in `products`.
        warnings: about several products at once: what was asked for and not done, or is a guess.
    """

    version: str = __version__
    created: str
    runner: str
    steps: list[Step]
    seconds: float
    products: list[ProductOutcome]
    listed: int
    warnings: list[str] = []

    @property
    def failed(self) -> list[ProductOutcome]:
        """The products that could not be done."""
        return [outcome for outcome in self.products if outcome.error is not None]

    @property
    def exit_code(self) -> int:
        """Of the first error that is not the scans' own, else of the scans'; 0 without errors."""
        codes = [outcome.error.exit_code for outcome in self.products if outcome.error is not None]
        others = [code for code in codes if code != ScanError.exit_code]
        return next(iter([*others, *codes]), 0)


@dataclass
class _Outcomes:
    """What is known so far, and who is told."""

    total: int
    told: Told
    by_name: dict[str, ProductOutcome] = field(default_factory=dict)

    def take(self, outcome: ProductOutcome) -> None:
        """A product is done, for now."""
        self.by_name[outcome.product] = outcome
        self.told(outcome, len(self.by_name), self.total)


def run_fleet(request: FleetRequest, told: Told = lambda *_: None) -> tuple[FleetReport, Path]:
    """Do what was asked for of every product; one that fails does not stop the others.

    Args:
        request: see there.
        told: called with each outcome, how many there are, and how many there will be.

    Returns:
        The report, and the fleet's folder.

    Raises:
        UsageError: the file cannot be used, there is no such product, or the extra is missing.
        MachineError: Ray cannot be started, or there is no cluster at the address.
    """
    begun = time.monotonic()
    fleet, products = read_products(request.file)
    chosen = _chosen(products, request)
    workers, runner = _how(request)
    outcomes = _Outcomes(len(chosen), told)
    ready = _without_missing(chosen, request.steps, outcomes)
    tasks = [_task(product, fleet, [step for step in request.steps if step != "bench"]) for product in ready]
    measured_only = list(request.steps) == ["bench"]
    if not measured_only:
        _run(tasks, workers, request.address, outcomes.take)
    if "bench" in request.steps:
        _measure(ready, fleet, outcomes, measured_only)
    ended = [outcomes.by_name[product.name] for product in chosen]
    return (
        FleetReport(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            runner=runner,
            steps=list(request.steps),
            seconds=time.monotonic() - begun,
            products=ended,
            listed=len(products),
            warnings=fleet_warnings(request.steps, chosen, ended),
        ),
        Path(fleet.out),
    )


def _chosen(products: Sequence[FleetProduct], request: FleetRequest) -> list[FleetProduct]:
    if not request.steps:
        raise UsageError("say what to do: --export, --calibrate, --evaluate, --bench, or several of them")
    known = [product.name for product in products]
    unknown = [name for name in request.names if name not in known]
    if unknown:
        raise UsageError(f"{request.file}: there is no product {', '.join(unknown)}: it has {', '.join(known[:20])}")
    return [product for product in products if not request.names or product.name in request.names]


def _how(request: FleetRequest) -> tuple[int, str]:
    """How many products at a time (1: in this process), and that in words."""
    if request.workers is not None and request.workers < 1:
        raise UsageError(f"--workers {request.workers}: give 1 or more")
    if request.address is not None:
        require_extras("fleet --address", FLEET)
        return usable_processors(), f"Ray at {request.address}"
    wanted = request.workers or (usable_processors() if has_extras(FLEET) else 1)
    if wanted == 1:
        return 1, "this process, one product after the other"
    require_extras("fleet --workers", FLEET)
    return wanted, f"Ray on this machine, {wanted} products at a time"


def _without_missing(
    products: Sequence[FleetProduct], steps: Sequence[Step], outcomes: _Outcomes
) -> list[FleetProduct]:
    """The products that have all that the steps need; the others have failed before anything is done."""
    ready = []
    for product in products:
        problem = missing_places(product)
        if problem is None and product.data is None and "evaluate" in steps:
            problem = NO_LABELED_PARTS
        if problem is None:
            ready.append(product)
        else:
            failure = failure_of(None, UsageError(problem.removeprefix(f"{product.name}: ")), product.name)
            outcomes.take(ProductOutcome(product=product.name, error=failure))
    return ready


def _task(product: FleetProduct, fleet: FleetTable, steps: Sequence[Step]) -> ProductTask:
    return ProductTask(product=product, steps=steps_of(steps, product), fleet=fleet)


def _run(
    tasks: Sequence[ProductTask], workers: int, address: str | None, told: Callable[[ProductOutcome], None]
) -> None:
    if (workers > 1 or address is not None) and tasks:
        from .on_ray import run_on_ray

        run_on_ray(tasks, workers, address, told)
        return
    for task in tasks:
        told(run_task(task))


def _measure(products: Sequence[FleetProduct], fleet: FleetTable, outcomes: _Outcomes, alone: bool) -> None:
    """Measure products one after the other on this machine, whatever else ran on Ray: side by side they slow down."""
    for product in products:
        before = None if alone else outcomes.by_name[product.name]
        if before is not None and before.error is not None:
            continue
        outcome = run_task(_task(product, fleet, ["bench"]))
        if before is not None:
            done = [*before.done, *(step for step in outcome.done if step not in before.done)]
            kept = [*before.kept, *(step for step in outcome.kept if step not in (*before.kept, *before.done))]
            seconds = before.seconds + outcome.seconds
            outcome = msgspec.structs.replace(
                outcome, done=done, kept=kept, seconds=seconds, evaluated=before.evaluated
            )
        outcomes.take(outcome)
