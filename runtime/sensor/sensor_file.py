"""`sensor.toml` and `--set`: what a user says about a sensor becomes its description; docs/sensors.md has every key."""

from __future__ import annotations

import copy
import re
import tomllib
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ..bundle.parameters import PRESET_PITCH_M, PRESETS, Preprocessing
from ..bundle.region_of_interest import RegionOfInterest
from ..bundle.scan_geometry import ScanGeometry
from ..bundle.sensor_changes import flat_values, sensor_changes, what_must_be_done
from ..bundle.sensor_description import (
    DERIVED,
    LARGEST_PITCH_M,
    SMALLEST_PITCH_M,
    UNIT,
    SensorDescription,
    SensorIdentity,
    complete_preprocessing,
)
from ..errors import UsageError
from .roi_files import roi_values
from .sensor_keys import TABLES, SensorTable, did_you_mean, inner_keys, is_optional, keys_of, without_none
from .units import checked_unit

MAX_BYTES = 1 << 20
_MSGSPEC_WORDS = (
    ("Expected `array` of length ([0-9]+), got ([0-9]+)", r"needs \1 values, has \2"),
    ("Object missing required field `(.*)`", r"needs \1 too"),
    ("Expected `int( \\| null)?`", "must be a whole number"),
    ("Expected `float( \\| null)?`", "must be a number"),
    ("Expected `str( \\| null)?`", "must be text"),
    ("Expected `object( \\| null)?`", "must be an inline table, as { name = value }"),
    ("Expected `array( \\| null)?`", "must be a list"),
    ("got `str`", "not text"),
    ("got `(int|float)`", "not a number"),
    ("got `array`", "not a list"),
)

_Table = TypeVar("_Table", bound=msgspec.Struct)

Settings = dict[str, dict[str, Any]]
"""What was said, table by table, as plain values."""


def open_sensor(given: str, assignments: Iterable[str] = (), metres_per_unit: float | None = None) -> SensorDescription:
    """The description that an option `--sensor FILE|PRESET` stands for.

    Args:
        given: the path of a sensor file, or a preset's name.
        assignments: of `--set`, each `TABLE.KEY=VALUE`.
        metres_per_unit: the files' unit, where it was given by an option of its own.

    Raises:
        UsageError: there is no such file or preset, a key is unknown, or a value makes no sense.

    Example:
        >>> open_sensor("kinect", ["preprocessing.plane=never"]).preprocessing.plane
        'never'
    """
    settings = sensor_settings(given)
    if metres_per_unit is not None:
        settings.setdefault("sensor", {})[UNIT] = checked_unit(metres_per_unit)
    return described(assigned(settings, assignments), given)


def adapted(
    known: SensorDescription, given: str | None, assignments: Sequence[str], metres_per_unit: float | None = None
) -> SensorDescription | None:
    """What becomes of a bundle's or a run's description by a command's options; None where none of them was given.

    Args:
        known: its own description. What was decided of its scans says nothing about others, so that `plane` and
            `side` are open again unless they are given.
        given: of `--sensor`: a file replaces all of it, a preset leaves unit and geometry.
        assignments: of `--set`.
        metres_per_unit: of `--metres-per-unit`.

    Raises:
        UsageError: as `open_sensor`.
    """
    if given is None and not assignments and metres_per_unit is None:
        return None
    settings = settings_of(SensorDescription(identity=known.identity, preprocessing=known.preprocessing.undecided()))
    if given is not None:
        new = sensor_settings(given)
        if given in PRESETS:
            new["geometry"] = settings["geometry"]
            if UNIT in settings["sensor"]:
                new["sensor"][UNIT] = settings["sensor"][UNIT]
        settings = new
    if metres_per_unit is not None:
        settings["sensor"][UNIT] = checked_unit(metres_per_unit)
    return described(assigned(settings, assignments), given or "the bundle's sensor")


def require_same_sensor(known: SensorDescription, given: str | None, assignments: Sequence[str] = ()) -> None:
    """Refuse to inspect with another description than the one that a bundle was calibrated with.

    Args:
        known: the bundle's.
        given: a sensor file, or a preset, which says nothing about unit and geometry; None: the bundle's own.
        assignments: what else was said, as `--set` takes it.

    Raises:
        UsageError: files would become other points; says which keys differ and what must be calibrated again.
    """
    other = adapted(known, given, assignments) or known
    changes = [change for change in sensor_changes(known, other) if change.changes_points]
    if changes:
        said = f"--sensor {given}" if given is not None else ", ".join(assignments)
        raise UsageError(
            f"{said}: is not what the bundle was calibrated with: {what_must_be_done(changes)}; leave "
            f"{'it' if given is None else '--sensor'} out to inspect with the bundle's own"
        )


def sensor_settings(given: str) -> Settings:
    """What a sensor file or a preset says; raises what `open_sensor` raises."""
    if given in PRESETS:
        return {"sensor": {"name": given, "preset": given}}
    path = Path(given)
    if not path.suffix and not path.exists():
        raise UsageError(f"--sensor {given}: there is no such file, and the presets are {', '.join(PRESETS)}")
    return read_sensor_file(path)


def read_sensor_file(path: Path) -> Settings:
    """What a sensor file says, as plain values; nothing of it is checked yet but the names of its keys.

    Raises:
        UsageError: it cannot be read, is not TOML, or has an unknown key.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as cause:
        raise UsageError(f"{path}: cannot be read: {cause.strerror or cause}") from cause
    if len(raw) > MAX_BYTES:
        raise UsageError(f"{path}: has more than {MAX_BYTES} bytes: this is not a sensor file")
    try:
        settings = tomllib.loads(raw.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as cause:
        raise UsageError(f"{path}: is not TOML: {cause}: `cmdiad sensor new` writes a file to start from") from cause
    _refuse_unknown(settings, path)
    if "roi" in settings.get("preprocessing", {}):
        settings["preprocessing"]["roi"] = roi_values(settings["preprocessing"]["roi"], path.parent)
    if not settings.get("sensor", {}).get("name"):
        settings.setdefault("sensor", {})["name"] = path.stem
    return settings


def assigned(settings: Settings, assignments: Iterable[str]) -> Settings:
    """The same settings with what `--set` says.

    Args:
        settings: are not changed.
        assignments: `TABLE.KEY=VALUE`, where VALUE is a number, a word, numbers with commas (or 640x480) for a list,
            an inline table as in TOML or its values in order, the file of a mask for `preprocessing.roi`, or `none`.

    Raises:
        UsageError: names the assignment and what is wrong with it.

    Example:
        >>> assigned({}, ["geometry.grid=640x480"])
        {'geometry': {'grid': [640, 480]}}
    """
    changed = copy.deepcopy(settings)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        table, *names = key.strip().split(".")
        kind = _kind_of(table, names)
        if not equals or kind is None:
            what = "is no TABLE.KEY=VALUE" if kind is not None else f"there is no key {key.strip()!r}"
            raise UsageError(f"--set {assignment}: {what}: {did_you_mean(key.strip())}")
        place = changed.setdefault(table, {})
        for name in names[:-1]:
            inner = place.get(name)
            place[name] = dict(inner) if isinstance(inner, Mapping) else {}
            place = place[name]
        place[names[-1]] = _value(text.strip(), kind)
    return changed


def described(settings: Settings, where: str) -> SensorDescription:
    """The description that settings stand for: what they leave open is the preset's, or follows the pixel pitch.

    Args:
        settings: by table.
        where: what the settings are called in messages.

    Raises:
        UsageError: a value makes no sense; names its key.
    """
    given = {table: dict(settings.get(table, {})) for table in TABLES}
    sensor = _converted(given["sensor"], SensorTable, "sensor", where)
    checked_unit(sensor.metres_per_unit)
    geometry = _converted(given["geometry"], ScanGeometry, "geometry", where)
    pitch = sensor.pixel_pitch_m or known_pitch(geometry, sensor.metres_per_unit)
    values, derived = complete_preprocessing(sensor.preset, given["preprocessing"], sensor.metres_per_unit, pitch)
    values.pop("geometry", None)
    preprocessing = _converted(values, Preprocessing, "preprocessing", where)
    identity = {"name": sensor.name, "preset": sensor.preset, "pixel_pitch_m": pitch, "derived": derived}
    return SensorDescription(
        identity=_converted(identity, SensorIdentity, "sensor", where),
        preprocessing=msgspec.structs.replace(preprocessing, geometry=geometry),
    )


def settings_of(description: SensorDescription) -> Settings:
    """What would have to be said for this description: all of it but what follows the pixel pitch.

    Lengths that are the preset's, where no pitch was told, count as not said: one that is told later moves them.
    """
    identity, preset = description.identity, PRESETS[description.identity.preset]
    made = description.preprocessing
    untold = identity.pixel_pitch_m in (None, PRESET_PITCH_M[identity.preset])
    kept = [name for name in DERIVED if untold and getattr(made, name) == getattr(preset, name)]
    settings: Settings = {table: {} for table in TABLES}
    for key, value in flat_values(description).items():
        table, _, name = key.partition(".")
        if value is not None and name not in (*identity.derived, *kept):
            settings[table][name] = value
    return settings


def known_pitch(geometry: ScanGeometry, metres_per_unit: float | None) -> float | None:
    """The distance of neighboring pixels, meters, where the geometry says it: a height map's or a projection's.

    None, too, where no unit was given and meters cannot be right: the reader will say which unit fits.

    Raises:
        UsageError: by the unit that was given, pixels are farther apart, or nearer, than any sensor's.
    """
    if geometry.height_grid is not None:
        steps, key = max(geometry.height_grid.x_pitch, geometry.height_grid.y_pitch), "geometry.height_grid"
    elif geometry.projection is not None and geometry.projection.pitch is not None:
        steps, key = geometry.projection.pitch, "geometry.projection"
    else:
        return None
    pitch = (metres_per_unit or 1.0) * steps
    if SMALLEST_PITCH_M <= pitch <= LARGEST_PITCH_M:
        return pitch
    if metres_per_unit is None:
        return None
    raise UsageError(
        f"{key}: pixels would be {pitch:g} m apart: give it in the files' unit, of which sensor.metres_per_unit "
        f"({metres_per_unit:g}) is the length: see docs/sensors.md"
    )


def _kind_of(table: str, names: list[str]) -> Any:
    """The type of a key's value; None where there is no such key."""
    if table not in TABLES or not names:
        return None
    kinds, kind = keys_of(table), None
    for name in names:
        if name not in kinds:
            return None
        kind = kinds[name]
        kinds = inner_keys(kind)
    return kind


def _value(text: str, kind: Any) -> Any:
    """A value of the command line as TOML would give it; what is of another type is left for the check of types."""
    if text == "none" and is_optional(kind):
        return None
    known = without_none(kind)
    origin = typing.get_origin(known)
    if known is str or origin is typing.Literal:
        return text
    if known is RegionOfInterest and not text.startswith("{") and "=" not in text:
        return roi_values(text)
    if inner := inner_keys(known):
        return _inline_table(text, inner)
    if origin is tuple:
        items = re.split(r"[,x]", text.strip("[]()")) if text.strip("[]()") else []
        return [_number(item) for item in items]
    return _number(text)


def _inline_table(text: str, kinds: dict[str, Any]) -> Any:
    if text.startswith("{"):
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            return text
    pairs = [item.partition("=") for item in text.split(",")]
    if all(equals for _, equals, _ in pairs):
        return {name.strip(): _value(value.strip(), kinds.get(name.strip(), str)) for name, _, value in pairs}
    if len(pairs) > len(kinds):
        return text
    return {name: _value(item.strip(), kind) for (item, _, _), (name, kind) in zip(pairs, kinds.items(), strict=False)}


def _number(text: str) -> Any:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def _refuse_unknown(settings: Mapping[str, Any], path: Path) -> None:
    for table, values in settings.items():
        if table not in TABLES:
            raise UsageError(f"{path}: there is no key {table!r}: {did_you_mean(table)}")
        if not isinstance(values, dict):
            raise UsageError(f"{path}: {table} must be a table: write [{table}]")
        for name, value in values.items():
            known = keys_of(table)
            if name not in known:
                raise UsageError(f"{path}: there is no key {table}.{name}: {did_you_mean(f'{table}.{name}')}")
            inner = inner_keys(known[name])
            for key in value if isinstance(value, dict) else ():
                if key not in inner:
                    full = f"{table}.{name}.{key}"
                    raise UsageError(f"{path}: there is no key {full}: {did_you_mean(full)}")


def _converted(values: Mapping[str, Any], kind: type[_Table], table: str, where: str) -> _Table:
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as cause:
        text, _, place = str(cause).partition(" - at `")
        inside = place.rstrip("`").removeprefix("$").removeprefix(".")
        # A check of the whole table names its key by itself.
        key = f"{table}.{inside}" if inside else f"{table}."
        told = _in_words(text, _kind_of(table, inside.split(".")))
        raise UsageError(f"{where}: {key}{' ' if inside else ''}{told}: see docs/sensors.md") from cause


def _in_words(text: str, kind: Any) -> str:
    """What msgspec says of a value, as the end of a sentence that its key begins."""
    if text.startswith("Invalid enum value"):
        return f"is {text.removeprefix('Invalid enum value ')}: choose {', '.join(typing.get_args(without_none(kind)))}"
    for words, ours in _MSGSPEC_WORDS:
        text = re.sub(words, ours, text)
    return text
