"""A sensor's description as a file that explains itself: every key with its meaning, unit, default and value."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ..bundle.sensor_changes import flat_values
from ..bundle.sensor_description import SensorDescription, SensorIdentity
from .sensor_file import described
from .sensor_keys import KEY_TEXTS, TABLES, inner_keys, keys_of, without_none

_HEAD = """\
# A sensor's description: give it to `--sensor`. docs/sensors.md explains every key.
# A commented-out key shows the value in effect without it; remove the # to set it.
"""


def sensor_toml(description: SensorDescription, notes: Mapping[str, str] | None = None) -> str:
    """The text of a sensor file, which `read_sensor_file` reads back as the same description.

    Args:
        description: what to write. What its preset or its pixel pitch gives is written behind a #.
        notes: what else to say of a key, by its full name, such as how its value was measured; these are never behind
            a #.
    """
    notes = notes or {}
    values, defaults = flat_values(description), _defaults(description.identity)
    blocks = [_HEAD]
    for table in TABLES:
        lines = [f"[{table}]"]
        for name, kind in keys_of(table).items():
            key = f"{table}.{name}"
            value = values.get(key, defaults[key])
            is_set = value is not None and (key in notes or value != defaults[key])
            told = _told(key, kind, defaults[key], description.identity.derived, notes.get(key))
            shown = KEY_TEXTS[key].example if value is None else toml_value(value)
            lines += ["", *(f"# {line}" for line in told), f"{'' if is_set else '# '}{name} = {shown}"]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _defaults(identity: SensorIdentity) -> dict[str, object]:
    """What holds for every key that a file leaves out, where its preset and its pixel pitch are given."""
    pitch = {} if identity.pixel_pitch_m is None else {"pixel_pitch_m": identity.pixel_pitch_m}
    followed = flat_values(described({"sensor": {"preset": identity.preset, **pitch}}, "defaults"))
    of_tables = {
        f"{table}.{field.name}": [] if field.default == () else field.default
        for table in ("sensor", "geometry")
        for field in msgspec.structs.fields(TABLES[table])
    }
    return {**followed, **of_tables}


def toml_value(value: Any) -> str:
    """A plain value as TOML has it, on one line.

    Example:
        >>> toml_value({"fx": 600.0, "cx": 319.5})
        '{ fx = 600.0, cx = 319.5 }'
    """
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{name} = {toml_value(item)}" for name, item in value.items() if item is not None)
        return f"{{ {pairs} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)


def resolved_lines(description: SensorDescription) -> Iterator[str]:
    """The description as short TOML: every value that holds, and why where it was not given."""
    values, defaults = flat_values(description), _defaults(description.identity)
    for table in TABLES:
        yield f"[{table}]"
        for name in keys_of(table):
            key = f"{table}.{name}"
            value = values.get(key, defaults[key])
            if value is None:
                yield f"# {name} is not given"
                continue
            why = "follows the pixel pitch" if name in description.identity.derived else "default"
            yield f"{name} = {toml_value(value)}{f'  # {why}' if value == defaults[key] else ''}"


def _told(key: str, kind: Any, default: object, derived: tuple[str, ...], note: str | None) -> Iterator[str]:
    """The lines of comment above a key."""
    text = KEY_TEXTS[key]
    yield text.meaning
    for inner in inner_keys(kind):
        inside = KEY_TEXTS[f"{key}.{inner}"]
        yield f"  {inner}{_in_unit(inside.unit)}: {inside.meaning}"
    facts = [f"unit: {text.unit}"] if text.unit else []
    choices = typing.get_args(without_none(kind)) if typing.get_origin(without_none(kind)) is typing.Literal else ()
    facts += [f"one of {', '.join(map(str, choices))}"] if choices else []
    follows = ", follows the pixel pitch" if key.rpartition(".")[2] in derived else ""
    facts.append("default: " + ("not given" if default in (None, "") else toml_value(default) + follows))
    yield "; ".join(facts)
    if note:
        yield note


def _in_unit(unit: str) -> str:
    return f" ({unit})" if unit else ""
