"""`cmdiad features`: what happens between a scan and its score, as arrays in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..runtime.bundle.parameters import Modality
from ..runtime.errors import UsageError
from . import console, options
from .extras import TRAIN, require_extras
from .interruption import when_interrupted

if TYPE_CHECKING:
    from ..runtime.bundle.parameters import Preprocessing
    from ..runtime.patches.intermediates import FeatureSource

# The extractors of networks in torch, where none is given.
POINT_EXTRACTOR, IMAGE_EXTRACTOR = "point-mae", "vit_base_patch8_224.dino"


@when_interrupted("what was written stays: run it again for the rest")
def features(
    scans: Annotated[
        list[str],
        typer.Argument(metavar="SCAN", help="Scans (images for main rgb), raw or preprocessed: files or globs."),
    ],
    out: Annotated[Path, typer.Option(help="File NAME.npz; a folder for several scans.")],
    bundle: Annotated[
        Path | None,
        typer.Option(
            help="Exported bundle.  [default: $CMDIAD_BUNDLE, else ./bundle, if no extractor or checkpoint is given]"
        ),
    ] = None,
    point_checkpoint: options.Checkpoint = None,
    image_checkpoint: options.Checkpoint = None,
    route_checkpoint: Annotated[
        Path | None, typer.Option(help="Weights of a trained route: MTFI_*.pth, or a run's.")
    ] = None,
    point_extractor: Annotated[
        str | None, typer.Option(help=f"embedded, point-mae or point-bert.  [default: {POINT_EXTRACTOR}]")
    ] = None,
    image_extractor: Annotated[
        str | None, typer.Option(help=f"embedded, or a timm ViT or CNN.  [default: {IMAGE_EXTRACTOR}]")
    ] = None,
    main: Annotated[Modality | None, typer.Option(help="Main modality: what the line measures.  [default: pc]")] = None,
    sensor: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|PRESET", help="File of `cmdiad sensor new`, or a preset.  [default: structured-light]"
        ),
    ] = None,
    metres_per_unit: options.Scale = None,
    assignments: options.Assignments = None,
    quiet: options.Quiet = False,
) -> None:
    """Write center_idx, tokens, patch features and hallucination of scans, with networks in torch or a bundle's.

    Extractors and checkpoints make the networks in torch; --main, --sensor, --set and --metres-per-unit go with them.
    """
    from ..runtime.bundle.reading import find_bundle, open_bundle
    from ..runtime.patches.intermediates import bundle_source, settled_source, write_features
    from ..runtime.sensor.part import find_inputs
    from ..runtime.sensor.sensor_file import open_sensor

    points = _given({"--point-extractor": point_extractor, "--point-checkpoint": point_checkpoint})
    images = _given({"--image-extractor": image_extractor, "--image-checkpoint": image_checkpoint})
    networks = [*points, *images, *_given({"--route-checkpoint": route_checkpoint})]
    settings = _given({"--main": main, "--sensor": sensor, "--set": assignments, "--metres-per-unit": metres_per_unit})
    if bundle is not None or not networks:
        _refuse_beside_bundle([*networks, *settings], bundle)
        source = bundle_source(open_bundle(find_bundle(bundle)))
    else:
        modality = main or "pc"
        if route_checkpoint is None:
            _refuse_unused(points if modality == "rgb" else images, modality)
        source = _torch_source(
            modality,
            (point_extractor or POINT_EXTRACTOR, point_checkpoint),
            (image_extractor or IMAGE_EXTRACTOR, image_checkpoint),
            route_checkpoint,
            open_sensor(sensor or "structured-light", assignments or (), metres_per_unit).preprocessing,
        )
    with console.progress_display(quiet) as progress:
        files = find_inputs(scans, source.path.route.measured).require()
        source, warnings = settled_source(
            source, files, lambda done, total: progress("raw or preprocessed", done, total, "")
        )
        for warning in warnings:
            console.warn(warning)
        written = write_features(source, files, out, lambda done, total: progress("features", done, total, ""))
    console.emit(f"features: {', '.join(map(str, written))}")


def _torch_source(
    main: Modality,
    point: tuple[str, str | None],
    image: tuple[str, str | None],
    route_checkpoint: Path | None,
    preprocessing: Preprocessing,
) -> FeatureSource:
    """Networks in torch: extractors with their checkpoints, and how scans are read and prepared."""
    require_extras("features in torch", TRAIN)
    from ..training.feature_dump import CheckpointChoice, torch_source

    choice = CheckpointChoice(
        main=main,
        point_extractor=point[0],
        image_extractor=image[0],
        point_checkpoint=point[1],
        image_checkpoint=image[1],
        route_checkpoint=route_checkpoint,
    )
    return torch_source(choice, preprocessing)


def _given(values: dict[str, object]) -> list[str]:
    """The names of options that have a value."""
    return [name for name, value in values.items() if value is not None]


def _refuse_beside_bundle(given: Sequence[str], bundle: Path | None) -> None:
    """Refuse what would have no effect: a bundle has its own networks and preprocessing.

    Raises:
        UsageError: names it.
    """
    if not given:
        return
    names = ", ".join(given)
    if bundle is not None:
        raise UsageError(f"give --bundle or {names}, not both: a bundle has its own networks and preprocessing")
    raise UsageError(
        f"{names}: a bundle has its own networks and preprocessing: leave it out, or name networks in torch with "
        "--point-extractor, --image-extractor or a checkpoint"
    )


def _refuse_unused(given: Sequence[str], main: Modality) -> None:
    """Refuse options of the extractor that does not run where nothing is hallucinated.

    Raises:
        UsageError: names them.
    """
    if given:
        other = "rgb" if main == "pc" else "pc"
        raise UsageError(
            f"{', '.join(given)}: has no effect on features of {main}: leave it out, or give "
            f"--main {other} or --route-checkpoint"
        )
