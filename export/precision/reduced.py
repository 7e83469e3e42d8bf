"""Reduced precisions of a bundle's networks, each passed by the parity gate or not written at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ...calibration.golden_rounding import rounding_contents
from ...calibration.parity import TOLERANCES, ParityReport, read_report
from ...calibration.ranges import activation_ranges, channel_limits
from ...runtime.acceptance.golden import INDEX
from ...runtime.bundle.manifest import Manifest, Network
from ...runtime.bundle.reading import Bundle
from ...runtime.bundle.writing import Content, changed_contents, draft_bundle, refuse_to_overwrite, rewrite_bundle
from ...runtime.engines.session import OnnxSession
from ...runtime.errors import UsageError
from ...runtime.preparation.prepared_part import PreparedPart
from ..choices import Precision
from ..export_settings import PRECISION, ExportSettings
from ..gate.against_torch import check_reduced, observe
from ..gate.decisions import Judged, check_verdicts
from ..graphs import describe_network
from .casting import convert, kept_by_type, simulate
from .dynamic_int8 import dynamic_int8_from_onnx, float_products
from .equalization import equalized
from .int8 import choose_layers, int8_from_onnx, quantizable
from .kept_operators import Inputs, measure_kept

CPU_INT8 = "int8 on the CPU"


@dataclass(frozen=True)
class Reduced:
    """One network in another precision.

    Attributes:
        model: the graph for the device.
        judged: what the gate runs in its place: the same, or its simulation where a CPU hides the rounding.
        kept: operators that stay in float32, by type.
    """

    model: bytes
    judged: bytes
    kept: dict[str, int]


def reduce_networks(
    manifest: Manifest,
    references: Mapping[str, bytes],
    parts: Mapping[str, PreparedPart],
    judged: Judged,
    settings: ExportSettings,
    progress: Callable[[str], None] = lambda stage: None,
) -> tuple[Manifest, dict[str, bytes], ParityReport]:
    """The networks in the asked precision: the manifest, the files, and what the gate found.

    fp16 graphs take the place of the float32 ones. bf16 and int8 graphs are for engines and lie beside them, since
    ONNX Runtime's CPU provider does not run the one, and has a faster form of the other, which is written too.

    Args:
        manifest: of the float32 bundle.
        references: role -> float32 graph.
        parts: real scans, prepared, by name.
        judged: the scans and banks for the decisions.
        settings: see `ExportSettings`.
        progress: called with the name of each network.
    """
    observed = observe(manifest, {role: OnnxSession(model) for role, model in references.items()}, parts)
    reduced = {}
    for role, model in references.items():
        progress(f"{role} {settings.precision}")
        reduced[role] = reduce_graph(model, [kept.inputs[role] for kept in observed.values()], settings)
    forms: dict[str, dict[str, Reduced]] = {settings.precision: reduced}
    if settings.precision == "int8":
        forms[CPU_INT8] = {role: cpu_int8(model) for role, model in references.items()}
    tolerance, report = TOLERANCES[settings.precision], ParityReport()
    models = {name: {role: one.judged for role, one in networks.items()} for name, networks in forms.items()}
    for name, graphs in models.items():
        progress(f"{name}, tensors")
        report = report.and_also(check_reduced(name, references, graphs, observed, tolerance))
    progress("decisions")
    report = report.and_also(check_verdicts(manifest, references, models, judged, tolerance))
    manifest, files = _with_reduced(manifest, reduced, forms.get(CPU_INT8, {}), settings.precision)
    return manifest, files, report


def _with_reduced(
    manifest: Manifest, reduced: Mapping[str, Reduced], cpu: Mapping[str, Reduced], precision: Precision
) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest with the networks of a precision in their places, and their files."""
    manifest = msgspec.structs.replace(manifest, precision=precision)
    if precision == "fp16":
        entries, files = described(manifest, reduced, "onnx", precision)
        return msgspec.structs.replace(manifest, networks=entries), files
    entries, files = described(manifest, reduced, f"{precision}.onnx", precision)
    cpu_entries, cpu_files = described(manifest, cpu, "int8.cpu.onnx", precision)
    manifest = msgspec.structs.replace(manifest, engine_networks=entries, cpu_networks=cpu_entries)
    return manifest, {**files, **cpu_files}


def described(
    manifest: Manifest, reduced: Mapping[str, Reduced], suffix: str, precision: Precision
) -> tuple[dict[str, Network], dict[str, bytes]]:
    """The manifest's entries of reduced networks by role, and their files."""
    entries, files = {}, {}
    for role, network in reduced.items():
        file, original = f"{role}.{suffix}", manifest.networks[role]
        files[file] = network.model
        entry = describe_network(network.model, file, original.architecture)
        entries[role] = msgspec.structs.replace(
            entry, parameters=original.parameters, precision=precision, kept_fp32=network.kept
        )
    return entries, files


def cpu_int8(model: bytes) -> Reduced:
    """A network's int8 form for ONNX Runtime's CPU provider; it needs no ranges."""
    quantized = dynamic_int8_from_onnx(model)
    return Reduced(quantized, quantized, float_products(quantized))


def reduce_graph(model: bytes, samples: Sequence[Inputs], settings: ExportSettings) -> Reduced:
    """One float32 graph in the asked precision; what stays in float32 is found on its inputs of real scans."""
    if settings.precision == "int8":
        activations = {node.input[0] for node in quantizable(model)}
        model = equalized(model, channel_limits(model, activations, samples))
        nodes = quantizable(model)
        ranges = activation_ranges(model, {node.input[0] for node in nodes}, samples, settings.calibrator)
        chosen = choose_layers(model, ranges, samples[:1])
        quantized = int8_from_onnx(model, ranges, chosen)
        return Reduced(quantized, quantized, {"MatMul": len(nodes) - len(chosen)})
    if settings.precision == "fp32":
        raise UsageError("fp32 is what the networks are exported in: choose fp16, bf16 or int8")
    kept = measure_kept(model, settings.precision, samples[:1])
    return Reduced(
        convert(model, settings.precision, kept),
        simulate(model, settings.precision, kept),
        kept_by_type(model, settings.precision, kept),
    )


def add_precision(
    bundle: Bundle,
    out: Path,
    parts: Mapping[str, PreparedPart],
    judged: Judged,
    settings: ExportSettings,
    progress: Callable[[str], None] = lambda stage: None,
) -> Manifest:
    """Bring an exported bundle's networks to another precision, calibrated or not.

    A line graph is of the old networks and is dropped: calibrate again to have one.

    Args:
        bundle: with float32 networks.
        out: where to; may be where it came from.
        parts: real scans, prepared, by name.
        judged: the scans and banks for the decisions.
        settings: see `ExportSettings`.
        progress: called with the name of each network.

    Raises:
        UsageError: the bundle's networks are not float32.
        ParityError: the precision costs too much; nothing was written.
    """
    refuse_to_overwrite(out)
    manifest = bundle.manifest
    wrong = [role for role, network in manifest.networks.items() if network.precision != PRECISION]
    if wrong:
        raise UsageError(f"{bundle.path}: its {wrong[0]} is {manifest.networks[wrong[0]].precision}: export it as fp32")
    references = {role: bundle.read(network.file) for role, network in manifest.networks.items()}
    manifest, files, report = reduce_networks(manifest, references, parts, judged, settings, progress)
    report = read_report(bundle).and_also(report.require(settings.accept))
    line = [name for name in manifest.files if name.startswith("line.onnx")]
    manifest = msgspec.structs.replace(manifest, line_graph=None)
    changed: dict[str, Content] = {**files, **report.files()}
    if INDEX in bundle.manifest.files and manifest.part_range is not None:
        progress("golden scans")
        changed |= rounding_contents(draft_bundle(bundle.path, manifest, changed_contents(bundle, changed, line)))
    return rewrite_bundle(bundle, out, manifest, changed, dropped=line)
