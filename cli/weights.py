"""`cmdiad weights`: published weights: what there is, where it comes from, and whether the files at hand are right."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import console, options
from .entry import new_app
from .extras import TRAIN, needs

app = new_app(
    "Published weights: where to get them, where they are looked for, and whether they are valid. Downloads nothing.",
    name="weights",
)


@app.command("list", short_help="List all published weights and their files.")
def list_weights(json: options.Json = False) -> None:
    """List name, source, license, SHA-256 and file of all published weights."""
    import msgspec

    from ..training.weights.published import NOT_PUBLISHED, PUBLISHED, present_file, weights_folder

    files = {entry.name: present_file(entry) for entry in PUBLISHED}
    if json:
        rows = [
            msgspec.to_builtins(entry) | {"path": None if (path := files[entry.name]) is None else str(path)}
            for entry in PUBLISHED
        ]
        console.emit_json({"folder": str(weights_folder()), "weights": rows})
        return
    headers = ["name", "file", "here", "license", "trained on", "SHA-256", "source"]
    table = [
        [
            entry.name,
            entry.files[0],
            "no" if files[entry.name] is None else "yes",
            entry.license,
            entry.trained_on,
            entry.sha256 or NOT_PUBLISHED,
            entry.source,
        ]
        for entry in PUBLISHED
    ]
    console.print_table(headers, table)
    console.emit(f"\nlooked for in {weights_folder()}")


@app.command(short_help="Check that the files are complete and correct.")
@needs(TRAIN)
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Names of weights.  [default: all that are here]")
    ] = None,
    json: options.Json = False,
) -> None:
    """Check that the files are complete, fit their networks, and match the published SHA-256 if there is one."""
    from ..runtime.errors import WeightsError
    from ..training.weights_checking import OK, verify_weights

    verdicts = verify_weights(names or [])
    if json:
        console.emit_json({"weights": verdicts})
    else:
        console.print_table(
            ["name", "verdict", "SHA-256", "file"],
            [[file.name, "ok" if file.verdict == OK else "wrong", file.sha256, file.path] for file in verdicts],
        )
    wrong = [file.verdict for file in verdicts if file.verdict != OK]
    if wrong:
        raise WeightsError("; ".join(wrong))


@app.command(short_help="Print the folder where weights are looked for.")
def path() -> None:
    """Print the folder where weights are looked for: $CMDIAD_WEIGHTS, else one in the user's cache."""
    from ..training.weights.published import weights_folder

    console.emit(weights_folder())


@app.command(short_help="Make a run from a published route checkpoint.")
@needs(TRAIN)
def adopt(
    checkpoint: Annotated[
        Path,
        typer.Argument(metavar="CHECKPOINT", help="Checkpoint of a published route: MTFI_FtoF_PCs.pth, MTFI_FtoI_*."),
    ],
    out: Annotated[Path, typer.Option(help="New run folder.")] = Path("runs/published"),
    main: options.Main = "pc",
    point_extractor: options.PointExtractor = "point-mae",
    image_extractor: options.ImageExtractor = "vit_base_patch8_224.dino",
    point_checkpoint: options.Checkpoint = None,
    image_checkpoint: options.Checkpoint = None,
    sensor: options.Sensor = "structured-light",
    metres_per_unit: options.Scale = None,
    assignments: options.Assignments = None,
) -> None:
    """Make a run from a published route checkpoint and its extractors, for `cmdiad export` and `cmdiad evaluate`."""
    from ..runtime.sensor.sensor_file import open_sensor
    from ..training.adoption import Adoption, adopt_checkpoint
    from ..training.feature_dump import CheckpointChoice

    choice = CheckpointChoice(
        main=main,
        point_extractor=point_extractor,
        image_extractor=image_extractor,
        point_checkpoint=point_checkpoint,
        image_checkpoint=image_checkpoint,
        route_checkpoint=checkpoint,
    )
    description = open_sensor(sensor, assignments or (), metres_per_unit)
    folder = adopt_checkpoint(Adoption(choice, description), out)
    console.emit(f"run: {folder} (export it: `cmdiad export --run {folder}`)")
