"""`cmdiad sensor`: describe a sensor: new, check, show, fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..runtime.bundle.parameters import Sensor
from . import console, options
from .entry import new_app
from .interruption import when_interrupted
from .line_options import as_assignments

if TYPE_CHECKING:
    from ..calibration.sensor_fit.proposed_sensor import SensorFit
    from ..runtime.bundle.sensor_description import SensorDescription

app = new_app("Describe a sensor: how its files are read, and how its scans are prepared.", name="sensor")

_Force = Annotated[bool, typer.Option("--force", help="Replace existing files.")]
_Out = Annotated[Path, typer.Option(help="The file to write.")]
_Name = Annotated[str | None, typer.Option(help="What people call the sensor.  [default: the file's name]")]


@app.command(short_help="Write a file with every key, its unit, default and meaning.")
def new(
    preset: Annotated[Sensor, typer.Option(help="Where the values come from.")] = "structured-light",
    out: _Out = Path("sensor.toml"),
    name: _Name = None,
    assignments: options.Assignments = None,
    force: _Force = False,
) -> None:
    """Write a commented sensor file: every key with its meaning, unit and default."""
    from ..runtime.files.atomic import atomic_write_bytes
    from ..runtime.sensor.sensor_file import assigned, described
    from ..runtime.sensor.sensor_writing import sensor_toml

    _refuse_replacing([out], force)
    settings = {"sensor": {"name": name or out.stem, "preset": preset}}
    description = described(assigned(settings, assignments or ()), str(out))
    atomic_write_bytes(out, sensor_toml(description).encode())
    console.emit(f"sensor: {out} (`cmdiad sensor fit SCANS` measures most of it)")


@app.command(short_help="Read a sensor file, and scans by it.")
@when_interrupted("nothing was written")
def check(
    file: Annotated[str, typer.Argument(metavar="SENSOR", help="Sensor file, or a preset.")],
    scans: Annotated[
        list[str] | None,
        typer.Argument(metavar="SCAN", help="Scans to prepare with it: files, folders or globs."),
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Say how it differs from this bundle's sensor, and what that means.")
    ] = None,
    assignments: options.Assignments = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Read a sensor file; with scans, read and prepare them with it and say what was found in each.

    Exit codes: 0 done, 2 the file is invalid, 3 a scan could not be read or prepared.
    """
    from ..calibration.sensor_fit.checked_scans import check_scans
    from ..runtime.bundle.reading import open_bundle
    from ..runtime.bundle.sensor_changes import sensor_changes, what_must_be_done
    from ..runtime.errors import ScanError
    from ..runtime.sensor.sensor_file import open_sensor

    description = open_sensor(file, assignments or ())
    with console.progress_display(quiet or json) as progress:
        checked = check_scans(scans, description, progress) if scans else None
    compared = None
    if bundle is not None:
        compared = what_must_be_done(sensor_changes(open_bundle(bundle).manifest.description, description))
    if json:
        console.emit_json({"sensor": description, "bundle": compared, **({} if checked is None else checked.as_json())})
    else:
        _print_checked(file, description, compared)
        if checked is not None:
            console.print_titled_table(checked.table())
            for warning in checked.warnings:
                console.warn(warning)
    if checked is not None and checked.n_failed:
        raise ScanError(f"{checked.n_failed} of {len(checked.outcomes)} scans could not be read or prepared: see above")


@app.command(short_help="Print a sensor's full description.")
def show(
    what: Annotated[str, typer.Argument(metavar="SENSOR", help="Sensor file, preset or bundle.")],
    roi: options.Roi = None,
    parts: options.Parts = None,
    assignments: options.Assignments = None,
    json: options.Json = False,
) -> None:
    """Print the description of a sensor file, a preset or a bundle, with every value in effect."""
    from ..runtime.bundle.sensor_changes import flat_values
    from ..runtime.sensor.sensor_writing import resolved_lines

    description = _opened(what, [*as_assignments(roi=roi, parts=parts), *(assignments or [])])
    if json:
        console.emit_json({**flat_values(description), "derived": description.identity.derived})
        return
    for line in resolved_lines(description):
        console.emit(line)


@app.command(short_help="Measure raw scans, propose a file, and draw its effect.")
@when_interrupted("nothing was written: run it again")
def fit(
    scans: Annotated[
        list[str], typer.Argument(metavar="SCAN", help="Raw scans with a part on its table: files, folders or globs.")
    ],
    out: _Out = Path("sensor.toml"),
    name: _Name = None,
    sensor: options.Sensor = "structured-light",
    metres_per_unit: options.Scale = None,
    assignments: options.Assignments = None,
    force: _Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure pixel pitch, noise, missing points and the table on some raw scans, and propose a sensor file.

    OUT_fit.png and OUT_fit.html show scan, table and part: look at them. --sensor and --set say what is not
    measured, such as unit and geometry.
    """
    from ..calibration.sensor_fit.fit_files import fit_files, write_fit
    from ..calibration.sensor_fit.fit_pictures import FitGallery
    from ..calibration.sensor_fit.proposed_sensor import fit_sensor
    from ..runtime.sensor.part import POINTS, find_inputs
    from ..runtime.sensor.sensor_file import open_sensor

    _refuse_replacing(fit_files(out), force)
    files = find_inputs(scans, POINTS).require()
    named = [f"sensor.name={name or out.stem}", *(assignments or [])]
    gallery = FitGallery()
    with console.progress_display(quiet or json) as progress:
        proposed = fit_sensor(files, open_sensor(sensor, named, metres_per_unit), named, progress, gallery.look)
    written = write_fit(proposed, gallery, out)
    if json:
        console.emit_json(proposed.as_json())
        return
    _print_fit(proposed)
    console.emit(f"sensor: {written[0]}")
    console.emit(f"look at what it does: {written[1]}, {written[2]}")


def _print_checked(file: str, description: SensorDescription, compared: str | None) -> None:
    identity = description.identity
    followed = f"; {', '.join(identity.derived)} follow the pixel pitch" if identity.derived else ""
    console.emit(f"{file}: sensor {identity.name!r}, preset {identity.preset}{followed}")
    if compared is not None:
        console.emit(f"against the bundle: {compared}")


def _print_fit(proposed: SensorFit) -> None:
    from ..calibration.sensor_fit.fit_page import measured_tiles, measures_table

    for what, median, extent in measured_tiles(proposed.measures):
        console.emit(f"{what + ':':24}{median}  ({extent})")
    console.print_titled_table(measures_table(proposed))
    for warning in proposed.warnings:
        console.warn(warning)


def _opened(what: str, assignments: list[str]) -> SensorDescription:
    """The description of whatever a path or a name stands for."""
    from ..runtime.bundle.parameters import PRESETS
    from ..runtime.bundle.reading import open_bundle
    from ..runtime.sensor.sensor_file import assigned, described, open_sensor, settings_of

    path = Path(what)
    if what in PRESETS or (path.is_file() and path.suffix == ".toml") or not path.exists():
        return open_sensor(what, assignments)
    known = open_bundle(path).manifest.description
    return described(assigned(settings_of(known), assignments), what) if assignments else known


def _refuse_replacing(files: list[Path], force: bool) -> None:
    """Refuse to write over files that somebody may have edited.

    Raises:
        UsageError: one is there.
    """
    from ..runtime.errors import UsageError

    there = [file for file in files if file.exists()]
    if there and not force:
        raise UsageError(f"{there[0]}: is there already: choose another --out, or --force replaces it")
