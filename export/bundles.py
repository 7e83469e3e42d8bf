"""A trained run becomes a bundle that lacks only its calibration."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import msgspec
import torch
from torch import nn

from ..calibration.parity import ParityReport
from ..runtime.bundle.manifest import Manifest, Network
from ..runtime.bundle.parameters import Modality, RouteName
from ..runtime.bundle.reading import Bundle, open_bundle, require_calibration
from ..runtime.bundle.writing import refuse_to_overwrite, write_bundle
from ..runtime.errors import UsageError
from ..runtime.files.json_encoding import escape_name
from ..runtime.patches.pooling import SIZE
from ..runtime.patches.routes import EXTRACTOR, HALLUCINATOR, SECOND_EXTRACTOR, route_of
from ..runtime.verdict.decision import Decision
from ..training.extractors.by_name import RANDOM, Extractor, reopen_extractor, weights_digest
from ..training.routes.distillation import DistilledRoute, distillation, load_network, serves
from ..training.runs.record import Run, read_run, weights_file
from .export_settings import DEFAULTS, PRECISION, ExportSettings
from .gate.against_torch import Dataset, check_against_torch, gate_scans, read_parts
from .gate.decisions import Judged, judged_of_data
from .graphs import GraphSpec, describe_network, onnx_from_module
from .kept_graphs import kept_graph
from .precision.reduced import add_precision, reduce_networks

# A network, its inputs and output, and its architecture.
Module = tuple[nn.Module, GraphSpec, str]

_GRAPHS: dict[tuple[str, tuple[str, ...]], bytes] = {}


def export_bundle(
    run_path: Path,
    route: RouteName,
    main: Modality,
    out: Path,
    product: str | None = None,
    progress: Callable[[str], None] = lambda stage: None,
    settings: ExportSettings = DEFAULTS,
) -> Manifest:
    """Export the networks of a route to ONNX, check each against torch, and write the bundle.

    Args:
        run_path: a run folder of `cmdiad train`, or `runs/latest`.
        route: its name.
        main: the main modality.
        out: the bundle's folder or .cmdiad file.
        product: the bundle's name for what it inspects; None: the run's class, if it has but one.
        progress: called with the name of each network before it is exported.
        settings: precision, and the scans of the parity gate.

    Raises:
        UsageError: there is no such run, `out` is something else, or there are no scans for the gate.
        WeightsError: an extractor's weights are missing, or not those of the training.
        ParityError: a graph does not compute what its torch network does, or a precision costs too much.
    """
    refuse_to_overwrite(out)
    folder, run = read_run(run_path)
    point = reopen_extractor(run.point_extractor, "pc", run.point_checkpoint, run.point_digest)
    image = reopen_extractor(run.image_extractor, "rgb", run.image_checkpoint, run.image_digest)
    modules = route_networks(folder, run, route, main, point, image)
    models = _graphs(modules, progress)
    networks = {role: describe_network(models[role], f"{role}.onnx", modules[role][2]) for role in models}
    manifest = manifest_of_run(run, route, main, networks, (point, image))
    if product is not None:
        manifest = msgspec.structs.replace(manifest, product=product)
    manifest, files, report = _gated(manifest, modules, models, gate_data(run, settings), settings, progress)
    return write_bundle(out, manifest, {**files, **report.files()})


def _graphs(modules: Mapping[str, Module], progress: Callable[[str], None]) -> dict[str, bytes]:
    models = {}
    for role, (module, spec, _) in modules.items():
        progress(role)
        models[role] = exported(module, spec)
    return models


def _gated(
    manifest: Manifest,
    modules: Mapping[str, Module],
    models: Mapping[str, bytes],
    data: Dataset | None,
    settings: ExportSettings,
    progress: Callable[[str], None],
) -> tuple[Manifest, dict[str, bytes], ParityReport]:
    """The networks in the asked precision, let through by the gate: the manifest, the files, and what was compared.

    Raises:
        ParityError: a graph does not compute what its torch network does, or a precision costs too much.
    """
    progress("parity")
    parts = read_parts(manifest, gate_scans(data, manifest, settings.scans))
    report = check_against_torch(manifest, modules, models, parts)
    files = {manifest.networks[role].file: model for role, model in models.items()}
    if settings.precision != PRECISION:
        judged = judged_scans(data, manifest, settings)
        manifest, reduced, checks = reduce_networks(manifest, models, parts, judged, settings, progress)
        files, report = {**files, **reduced}, report.and_also(checks)
    return manifest, files, report.require(settings.accept)


def manifest_of_run(
    run: Run, route: RouteName, main: Modality, networks: dict[str, Network], extractors: tuple[Extractor, Extractor]
) -> Manifest:
    """What a bundle says of the float32 networks of a route, and where they come from.

    Args:
        run: the training.
        route: its name.
        main: the main modality.
        networks: by role.
        extractors: of points and of images.
    """
    point, image = extractors
    return Manifest(
        product=escape_name(run.classes[0]) if len(run.classes) == 1 else "any",
        route=route,
        main=main,
        precision=PRECISION,
        sensor=run.sensor,
        preprocessing=run.preprocessing,
        grouping=run.grouping,
        networks=networks,
        training_statistics=run.training_statistics,
        provenance={
            "training_data_digest": run.data_digest,
            "training_seed": str(run.seed),
            "point_extractor_digest": point.digest,
            "image_extractor_digest": image.digest,
            "point_extractor_weights": weights_origin(point),
            "image_extractor_weights": weights_origin(image),
            "route_weights": run.adopted or "trained here",
            **{f"version_{name}": version(name) for name in ("cmdiad", "torch", "onnx", "onnxscript")},
            **git_commit(),
        },
    )


def reduce_bundle(
    path: Path,
    out: Path,
    run_path: Path,
    settings: ExportSettings,
    progress: Callable[[str], None] = lambda stage: None,
) -> Manifest:
    """Bring an exported bundle to another precision; a calibrated one is judged with its own banks and threshold.

    Args:
        path: the bundle, with float32 networks.
        out: where to; may be `path`.
        run_path: the run that the bundle was exported from, whose data the gate's scans are of, where `settings`
            gives none.
        settings: precision and scans.
        progress: called with the name of each stage.

    Raises:
        UsageError: its networks are not float32, or there are no scans of its product for the gate.
        BundleError: it cannot be read, or was calibrated by an earlier version.
        ParityError: the precision costs too much; nothing was written.
    """
    bundle = open_bundle(path)
    manifest = bundle.manifest
    data = None if settings.scans else product_data(bundle, run_path, settings)
    parts = read_parts(manifest, gate_scans(data, manifest, settings.scans))
    judged = judged_scans(data, manifest, settings)
    if manifest.calibration is not None:
        threshold = require_calibration(bundle).threshold.value
        judged = replace(judged, decision=Decision.load(bundle), threshold=threshold)
    return add_precision(bundle, out, parts, judged, settings, progress)


def product_data(bundle: Bundle, run_path: Path, settings: ExportSettings) -> Dataset:
    """The dataset of what a bundle inspects; of no other product, on which its gate would mean nothing.

    Raises:
        UsageError: says why there is none, and what to give.
    """
    if settings.data is not None:
        return Dataset(settings.data)
    try:
        run = read_run(run_path)[1]
    except UsageError as cause:
        raise _needs_scans(bundle, f"there is no run in {run_path}") from cause
    manifest, classes = bundle.manifest, ", ".join(run.classes)
    own = [name for name in run.classes if escape_name(name) == manifest.product]
    if manifest.provenance.get("training_data_digest") != run.data_digest:
        raise _needs_scans(bundle, f"{run_path} is not the run it was exported from: its scans are of {classes}")
    if manifest.calibration is not None and not own:
        raise _needs_scans(
            bundle, f"it is calibrated for {manifest.product!r}, and those of {run_path} are of {classes}"
        )
    if not run.data or not Path(run.data).is_dir():
        raise _needs_scans(bundle, f"the training data of {run_path} is not where it was")
    return Dataset(Path(run.data), own or run.classes)


def _needs_scans(bundle: Bundle, reason: str) -> UsageError:
    return UsageError(
        f"{bundle.path}: the parity gate needs real scans of what it inspects, and {reason}: give them with --scans, "
        "or the bundle's own run with --run"
    )


def gate_data(run: Run, settings: ExportSettings) -> Dataset | None:
    """The dataset that the gate's scans are of: the one asked for, else the run's own, where it still is."""
    if settings.data is not None:
        return Dataset(settings.data)
    return Dataset(Path(run.data), run.classes) if run.data and Path(run.data).is_dir() else None


def judged_scans(data: Dataset | None, manifest: Manifest, settings: ExportSettings) -> Judged:
    """Whose verdicts a precision must not change: of a dataset, or of the scans given."""
    if settings.scans or data is None:
        half = len(settings.scans) // 2
        return Judged(settings.scans[:half], settings.scans[half:])
    return judged_of_data(data.root, data.classes, manifest)


def exported(module: nn.Module, spec: GraphSpec) -> bytes:
    """The graph of a network; routes exported one after the other share their extractors' graphs."""
    key = weights_digest(module), tuple(spec.inputs)
    if key not in _GRAPHS:
        _GRAPHS[key] = kept_graph(module, spec, onnx_from_module)
    return _GRAPHS[key]


def route_networks(
    folder: Path, run: Run, route: RouteName, main: Modality, point: Extractor, image: Extractor
) -> dict[str, Module]:
    """The networks that a route needs at inspection, by role.

    Raises:
        UsageError: the run did not train this route, or not for this main modality.
    """
    if not serves(run, route, main):
        raise UsageError(
            f"{folder}: was trained with --route {run.route} --main {run.main}, not for {route} with main "
            f"{main}: train with --route {route} --main {main}, or give that run with --run"
        )
    chosen, other = (point, image) if main == "pc" else (image, point)
    needed = route_of(route, main).networks
    networks = {EXTRACTOR: (chosen.network, extractor_spec(chosen), chosen.name)}
    if HALLUCINATOR in needed:
        trained = distillation(route)
        network = trained.one_direction(load_network(folder / weights_file(run.route), route), main)
        networks[HALLUCINATOR] = (network, hallucinator_spec(trained, network), route)
    if SECOND_EXTRACTOR in needed:
        networks[SECOND_EXTRACTOR] = (other.network, extractor_spec(other), other.name)
    return networks


def extractor_spec(extractor: Extractor) -> GraphSpec:
    """Inputs and output of an extractor's graph."""
    generator = torch.Generator().manual_seed(0)
    if extractor.grouping is None:
        image = torch.randn(2, 3, SIZE, SIZE, generator=generator)
        return GraphSpec({"image": image}, {"image": {0: "batch"}}, "tokens")
    n, m = extractor.grouping.n_groups, extractor.grouping.group_size
    inputs = {
        "groups": torch.randn(2, n, m, 3, generator=generator) * 2e-3,
        "centers": torch.randn(2, n, 3, generator=generator) * 2e-2,
    }
    return GraphSpec(inputs, {"groups": {0: "batch"}, "centers": {0: "batch"}}, "tokens")


def hallucinator_spec(route: DistilledRoute, direction: nn.Module) -> GraphSpec:
    """Input and output of one direction of a route's network."""
    name, example = route.example(direction)
    return GraphSpec({name: example}, {name: route.free_axes}, route.output)


def weights_origin(extractor: Extractor) -> str:
    """Where an extractor's weights came from, without the path on this machine: a file's name, `random:SEED`, or
    `embedded`.
    """
    if extractor.checkpoint is None:
        return extractor.name
    return extractor.checkpoint if extractor.checkpoint.startswith(RANDOM) else Path(extractor.checkpoint).name


def git_commit() -> dict[str, str]:
    """The commit of the source this runs from, if it is a checkout."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return {}
    answer = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return {"git_commit": answer.stdout.strip()} if answer.returncode == 0 else {}
