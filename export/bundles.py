"""A trained run becomes a bundle that lacks only its calibration."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from ..runtime import features
from ..runtime.bundle_writing import refuse_to_overwrite, write_bundle
from ..runtime.errors import UsageError
from ..runtime.manifest import Manifest, Modality, Network, Route
from ..runtime.pooling import N_PATCHES, SIZE
from ..training.extractors.opening import RANDOM, Extractor, reopen_extractor, weights_digest
from ..training.routes import load_network, one_direction
from ..training.run import Distillation, Run, read_run, weights_file
from .graphs import GraphSpec, describe_network, onnx_from_module
from .parity import check_network

PRECISION = "fp32"
_GRAPHS: dict[tuple[str, tuple[str, ...]], bytes] = {}


def export_bundle(
    run_path: Path,
    route: Route,
    main: Modality,
    out: Path,
    product: str | None = None,
    progress: Callable[[str], None] = lambda stage: None,
) -> Manifest:
    """Export the networks of a route to ONNX, check each against torch, and write the bundle.

    Args:
        run_path: a run folder of `cmdiad train`, or `runs/latest`.
        route: f2f, f2i, i2f, single or dual.
        main: the main modality.
        out: the bundle's folder or .cmdiad file.
        product: the bundle's name for what it inspects; None: the run's class, if it has but one.
        progress: called with the name of each network before it is exported.

    Returns:
        The manifest as written.

    Raises:
        UsageError: there is no such run, or `out` is something else.
        WeightsError: an extractor's weights are missing, or not those of the training.
        ParityError: a graph does not compute what its torch network does.
    """
    refuse_to_overwrite(out)
    folder, run = read_run(run_path)
    point = reopen_extractor(run.point_extractor, "pc", run.point_checkpoint, run.point_digest)
    image = reopen_extractor(run.image_extractor, "rgb", run.image_checkpoint, run.image_digest)
    networks: dict[str, Network] = {}
    contents: dict[str, bytes] = {}
    for role, (module, spec, architecture) in route_networks(folder, run, route, main, point, image).items():
        progress(role)
        model = exported(role, module, spec)
        file = f"{role}.onnx"
        contents[file] = model
        networks[role] = describe_network(model, file, architecture)
    manifest = Manifest(
        product=product or (run.classes[0] if len(run.classes) == 1 else "any"),
        route=route,
        main=main,
        precision=PRECISION,
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
    return write_bundle(out, manifest, contents)


def exported(role: str, module: nn.Module, spec: GraphSpec) -> bytes:
    """The graph of a network, checked; routes exported one after the other share their extractors' graphs.

    Raises:
        ParityError: the graph does not compute what the network does.
    """
    key = weights_digest(module), tuple(spec.inputs)
    if key not in _GRAPHS:
        model = onnx_from_module(module, spec)
        check_network(role, module, spec, model)
        _GRAPHS[key] = model
    return _GRAPHS[key]


def route_networks(
    folder: Path, run: Run, route: Route, main: Modality, point: Extractor, image: Extractor
) -> dict[str, tuple[nn.Module, GraphSpec, str]]:
    """The networks that a route needs at inspection: role -> module, inputs and output, architecture.

    Raises:
        UsageError: the run did not train this route, or not for this main modality.
    """
    chosen, other = (point, image) if main == "pc" else (image, point)
    networks = {features.EXTRACTOR: (chosen.network, extractor_spec(chosen), chosen.name)}
    if route in ("f2f", "f2i", "i2f"):
        if run.route != route or (route != "f2f" and run.main != main):
            raise UsageError(
                f"{folder}: was trained with --route {run.route} --main {run.main}, not for {route} with main "
                f"{main}: train with --route {route} --main {main}, or give that run with --run"
            )
        network = one_direction(load_network(folder / weights_file(route), route), main)
        networks[features.HALLUCINATOR] = (network, hallucinator_spec(route, network), route)
    if route in ("dual", "f2i"):
        networks[features.SECOND_EXTRACTOR] = (other.network, extractor_spec(other), other.name)
    return networks


def extractor_spec(extractor: Extractor) -> GraphSpec:
    """Inputs and output of an extractor's graph."""
    generator = torch.Generator().manual_seed(0)
    if extractor.grouping is None:
        image = torch.randn(2, 3, 224, 224, generator=generator)
        return GraphSpec({"image": image}, {"image": {0: "batch"}}, "tokens")
    n, m = extractor.grouping.n_groups, extractor.grouping.group_size
    inputs = {
        "groups": torch.randn(2, n, m, 3, generator=generator) * 2e-3,
        "centers": torch.randn(2, n, 3, generator=generator) * 2e-2,
    }
    return GraphSpec(inputs, {"groups": {0: "batch"}, "centers": {0: "batch"}}, "tokens")


def hallucinator_spec(route: Distillation, network: nn.Module) -> GraphSpec:
    """Input and output of a route's network; F2F takes any number of patches, the others all 3136."""
    generator = torch.Generator().manual_seed(0)
    if route == "i2f":
        seen = torch.randn(2, 3, SIZE, SIZE, generator=generator) * 0.1
        return GraphSpec({"input": seen}, {"input": {0: "batch"}}, "hallucination")
    if route == "f2i":
        grid = torch.randn(2, N_PATCHES, network.get_parameter("conv1.weight").shape[1], generator=generator)
        return GraphSpec({"features": grid}, {"features": {0: "batch"}}, "hallucinated_input")
    sample = torch.randn(2, 100, network.get_parameter("norm.weight").numel(), generator=generator)
    return GraphSpec({"features": sample}, {"features": {0: "batch", 1: "patches"}}, "hallucination")


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
