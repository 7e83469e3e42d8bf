"""How far half precision is from float32 on golden scans, as devices compute it: right ones and broken ones.

    python benchmarks/studies/half_precision.py BUNDLE [--devices NAME ...]

BUNDLE is calibrated, in float32 or fp16; a float32 one is measured as it is and in fp16 (what stays in float32 is found
on its golden scans), against the answers recorded in it. Prints one JSON object a device: the largest difference of
every stage as the self-test has it (docs/engines.md), what is allowed, and whether the self-test passes. No GPU is
needed: see `simulated_devices`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from cmdiad.benchmarks.shared.measuring import machine
from cmdiad.benchmarks.shared.simulated_devices import DEVICES, WRONG_IN_FP32
from cmdiad.calibration.golden_rounding import rounding_contents, with_networks
from cmdiad.calibration.half_arithmetic import rounding_graph
from cmdiad.export.export_settings import ExportSettings
from cmdiad.export.precision.reduced import reduce_graph
from cmdiad.runtime.acceptance.golden import read_case, read_golden, replay
from cmdiad.runtime.acceptance.selftest import SelftestReport, run_selftest
from cmdiad.runtime.bundle.reading import Bundle, open_bundle
from cmdiad.runtime.bundle.writing import changed_contents, draft_bundle
from cmdiad.runtime.engines.session import Arrays
from cmdiad.runtime.inspector import Inspector


def main() -> None:
    """Measure both precisions and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--devices", nargs="+", choices=DEVICES, default=list(DEVICES))
    options = parser.parse_args()
    bundle = open_bundle(options.bundle)
    versions = [bundle] if bundle.manifest.precision == "fp16" else [bundle, in_fp16(bundle)]
    for version in versions:
        for line in measure(version, options.devices):
            print(json.dumps(line), flush=True)
    print(json.dumps(machine()))


def in_fp16(bundle: Bundle) -> Bundle:
    """A float32 bundle with its networks in fp16, which is not written; the golden answers stay float32's."""
    seen = network_inputs(bundle)
    entries, files = {}, {}
    for role, network in bundle.manifest.networks.items():
        reduced = reduce_graph(bundle.read(network.file), seen[role], ExportSettings(precision="fp16"))
        files[network.file] = reduced.model
        entries[role] = msgspec.structs.replace(network, precision="fp16", kept_fp32=reduced.kept)
    manifest = msgspec.structs.replace(bundle.manifest, precision="fp16", networks=entries, line_graph=None)
    return draft_bundle(bundle.path, manifest, changed_contents(bundle, files))


def network_inputs(bundle: Bundle) -> dict[str, list[Arrays]]:
    """What goes into every network for the golden scans, by role."""
    seen: dict[str, list[Arrays]] = {role: [] for role in bundle.manifest.networks}
    inspector = Inspector(bundle, graph="networks", allow_any_size=True)
    for case in read_golden(bundle).cases:
        _, tensors = replay(inspector, read_case(bundle, case))
        for role, network in bundle.manifest.networks.items():
            seen[role].append({tensor.name: tensors[f"{role}.{tensor.name}"] for tensor in network.inputs})
    return seen


def measure(bundle: Bundle, devices: Sequence[str]) -> Iterator[dict[str, object]]:
    """One bundle on every device, after ONNX Runtime's CPU provider."""
    bundle = draft_bundle(bundle.path, bundle.manifest, changed_contents(bundle, rounding_contents(bundle)))
    networks = bundle.manifest.networks
    models = {role: rounding_graph(bundle.read(network.file)) for role, network in networks.items()}
    yield figures("ONNX Runtime's CPU provider", run_selftest(bundle, graph="networks"))
    told_apart = WRONG_IN_FP32 if bundle.manifest.precision == "fp32" else tuple(DEVICES)
    for name in (device for device in devices if device in told_apart):
        running = with_networks(bundle, networks, {role: DEVICES[name](model) for role, model in models.items()})
        yield figures(name, run_selftest(running))


def figures(device: str, report: SelftestReport) -> dict[str, object]:
    """The largest difference of every stage over the golden scans, with what is allowed of it."""
    largest: dict[str, float] = {}
    allowed = {comparison.stage: comparison.tolerance for comparison in report.comparisons}
    for comparison in report.comparisons:
        difference = float("inf") if comparison.difference is None else comparison.difference
        largest[comparison.stage] = max(largest.get(comparison.stage, 0.0), difference)
    return {
        "measure": "half_precision",
        "precision": report.precision,
        "device": device,
        "differences": {stage: float(f"{share:.2g}") for stage, share in largest.items()},
        "allowed": {stage: float(f"{share:.2g}") for stage, share in allowed.items()},
        "passed": report.passed,
    }


if __name__ == "__main__":
    main()
