"""How long a product's inspection takes on this machine, measured by `cmdiad-rt bench`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..runtime.bench.measuring.configuration import Choices
from ..runtime.bench.measuring.host import describe_host
from ..runtime.bench.measuring.report import Report
from ..runtime.bench.measuring.scenarios import Plan, chosen
from ..runtime.bench.run import BenchRequest, run_bench
from ..runtime.bundle.reading import Bundle
from ..runtime.errors import UsageError
from ..runtime.patches.routes import modalities
from ..runtime.sensor.part import find_normal_parts
from .input_digests import part_digests
from .product_task import MeasuredProduct, ProductTask
from .step_folder import step_key

_SCENARIO = "single-stream"


def measuring_of(task: ProductTask, bundle: Bundle) -> tuple[str, Callable[[Path], MeasuredProduct]]:
    """The key of a product's measurement, which holds for this machine alone, and what makes it.

    Args:
        task: with the product's scans, and how long to measure.
        bundle: calibrated.

    Raises:
        ScanError: there are no scans.
    """
    product, measured = task.product, modalities(bundle.manifest)
    scans = find_normal_parts(list(product.scans) or [product.data or ""], measured)
    plan = Plan(seconds=task.fleet.bench_seconds, samples=task.fleet.bench_samples)
    host = describe_host()
    machine = f"{host.cpu}, {host.cores} cores"
    digests = part_digests(scans, measured)
    key = step_key(
        "bench", bundle=bundle.manifest.digest, parts=digests, plan=plan, machine=machine, provider=product.provider
    )

    def make(new: Path) -> MeasuredProduct:
        scenarios = chosen([_SCENARIO], None, None, None, 1, product.seed)
        named, choices = [str(scan) for scan in scans], Choices(provider=[product.provider])
        request = BenchRequest(scenarios, plan, new, [bundle.path], choices, named)
        report, interrupted = run_bench(request, lambda *_: None)
        if interrupted:
            raise KeyboardInterrupt
        return _measured(report, machine)

    return key, make


def _measured(report: Report, machine: str) -> MeasuredProduct:
    result = report.outcomes[0].result(_SCENARIO)
    if result is None:
        raise UsageError(f"could not be measured: {report.outcomes[0].not_run.get(_SCENARIO, 'no reason is known')}")
    summary = result.summary
    return MeasuredProduct(
        machine=machine,
        n=summary.n,
        p50_s=summary.p50_s,
        p90_s=summary.p90_s,
        p99_s=summary.p99_s,
        throughput_hz=result.throughput_hz,
    )
