"""`cmdiad features`: what happens between a scan and its score, as arrays in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import console
from .extras import require_extras
from .options import (
    CheckpointOption,
    ImageExtractorOption,
    MainModality,
    MainOption,
    PointExtractorOption,
    QuietOption,
    ScaleOption,
    Sensor,
    SensorOption,
    sensor_preprocessing,
)


def features(
    scans: Annotated[
        list[str],
        typer.Argument(metavar="SCAN", help="Scans (images for main rgb), raw or preprocessed: files or globs."),
    ],
    out: Annotated[Path, typer.Option(help="File NAME.npz; for several scans a folder.")],
    bundle: Annotated[
        Path | None,
        typer.Option(help="Exported bundle.  [default: $CMDIAD_BUNDLE, else ./bundle, if no checkpoint is given]"),
    ] = None,
    point_checkpoint: CheckpointOption = None,
    image_checkpoint: CheckpointOption = None,
    route_checkpoint: Annotated[
        Path | None, typer.Option(help="Weights of a trained route: MTFI_*.pth, or those of a run.")
    ] = None,
    point_extractor: PointExtractorOption = "point-mae",
    image_extractor: ImageExtractorOption = "vit_base_patch8_224.dino",
    main: MainOption = MainModality.pc,
    sensor: SensorOption = Sensor.structured_light,
    metres_per_unit: ScaleOption = None,
    quiet: QuietOption = False,
) -> None:
    """Write center_idx, tokens, patch features and hallucination of scans, from checkpoints (torch) or a bundle."""
    from ..runtime.bundle import find_bundle, open_bundle
    from ..runtime.errors import UsageError
    from ..runtime.intermediates import bundle_source, write_features
    from ..runtime.sensor.part import find_inputs

    from_checkpoints = point_checkpoint or image_checkpoint or route_checkpoint
    if bundle is not None and from_checkpoints:
        raise UsageError("give --bundle or checkpoints, not both")
    if from_checkpoints:
        require_extras("features with checkpoints")
        from ..training.feature_dump import CheckpointChoice, torch_source

        choice = CheckpointChoice(
            main=main.value,
            point_extractor=point_extractor,
            image_extractor=image_extractor,
            point_checkpoint=point_checkpoint,
            image_checkpoint=image_checkpoint,
            route_checkpoint=route_checkpoint,
        )
        source = torch_source(choice, sensor_preprocessing(sensor, metres_per_unit))
    else:
        source = bundle_source(open_bundle(find_bundle(bundle)))
    with console.progress_display(quiet) as progress:
        files = find_inputs(scans, source.path.route.measured).require()
        written = write_features(source, files, out, lambda done, total: progress("features", done, total, ""))
    console.emit(f"features: {', '.join(map(str, written))}")
