"""TOML files from outside, bounded before they are parsed: `tomllib` takes the square of a line's length in time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import UsageError

MAX_BYTES = 1 << 16
# 2,000 dotted keys in one line take a tenth of a second, 30,000 of them 18 s.
MAX_LINE_BYTES = 1 << 12


def read_toml(path: Path, most_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """The content of a TOML file.

    Args:
        path: the file.
        most_bytes: what no file of its kind is larger than.

    Raises:
        UsageError: it cannot be read, is not TOML, or is larger than any that people write; names the file.

    Example:
        >>> read_toml(Path("line.toml"))["http"]  # doctest: +SKIP
        {'port': 8080}
    """
    import tomllib

    try:
        with path.open("rb") as stream:
            raw = stream.read(most_bytes + 1)
    except (OSError, ValueError) as cause:  # ValueError: a null byte in the name
        raise UsageError(f"{path}: cannot be read: {getattr(cause, 'strerror', None) or cause}") from cause
    if len(raw) > most_bytes:
        raise UsageError(f"{path}: has more than {most_bytes} bytes, too many for settings: give a TOML file")
    longest = max(map(len, raw.splitlines()), default=0)
    if longest > MAX_LINE_BYTES:
        raise UsageError(f"{path}: has a line of {longest} bytes, at most {MAX_LINE_BYTES} are read: break it up")
    try:
        return tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as cause:  # ValueError: also a number of 5,000 digits
        raise UsageError(f"{path}: is not TOML: {cause}") from cause


def place_first(message: str) -> str:
    """msgspec's words about a value, with the place first and in TOML's spelling.

    Example:
        >>> place_first("Expected `int`, got `str` - at `$.http.port`")
        'http.port: Expected `int`, got `str`'
    """
    text, _, place = message.partition(" - at `")
    where = place.rstrip("`").removeprefix("$").removeprefix(".")
    return f"{where}: {text}" if where else text
