"""Damage to bytes, text, JSON and TOML; all of it drawn from one `random.Random`, so that a seed repeats it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

Mutator = Callable[[random.Random, bytes, Sequence[bytes]], bytes]
"""Chance, an input and the other inputs -> a damaged input."""

EDGES = (0, 1, 2, 127, 128, 255, 256, 32767, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
HOSTILE_WORDS = (
    *("", "0", "-1", "1", "2", "nan", "-nan", "inf", "1e400", "-1e308", "1e-400", "0x10", "1_000", "١٢", "²"),
    *("9" * 18, "9" * 19, "9" * 5000, "4294967296", "67108864", "67108865", "8192", "true", "null", "None"),
    *("..", "../../etc/passwd", "/dev/zero", "~nobody/x", "a\0b", "\x1b[2J", "\u202e", "%s", "{}", "x" * 4000),
    *("[" * 3000, "{" * 3000, ".".join("a" * 2000), '"', "'", "\\", "#", "=", ",", "\n", "\r", "\t", "\ufeff"),
)
HOSTILE_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 1.5, -0.0, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63), 10**30, 10**400, 1e308, 1e-320),
    *("", "0", "..", "../x", "/etc/passwd", "a\0b", "a\n", "x" * 70_000, "\u202e", "CON", "a" * 300, "./a", "a//b"),
    *([], {}, [[]], [None], {"": None}, [0] * 5000, ["x"] * 300, {str(number): number for number in range(300)}),
)
MOST_BYTES = 1 << 20


def damage_bytes(chance: random.Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """One to eight small changes: bits, edge numbers, cut, doubled, moved or foreign pieces."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        _damage_once(chance, changed, others)
    return bytes(changed[:MOST_BYTES])


def _damage_once(chance: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    place, length = chance.randint(0, len(data)), chance.choice((1, 2, 4, 8, 32, 200))
    kind = chance.randrange(9)
    if kind == 0 and place < len(data):
        data[place] ^= 1 << chance.randrange(8)
    elif kind == 1:
        data[place : place + 1] = bytes([chance.randrange(256)])
    elif kind in (2, 3):
        n_bytes = chance.choice((1, 2, 4, 8))
        number = chance.choice(EDGES) & ((1 << 8 * n_bytes) - 1)
        data[place : place + n_bytes] = number.to_bytes(n_bytes, chance.choice(("little", "big")))
    elif kind == 4:
        del data[place : place + length]
    elif kind == 5:
        data[place:place] = bytes(data[place : place + length]) * chance.choice((1, 2, 50))
    elif kind == 6:
        del data[place:]
    elif kind == 7 and others:
        other = chance.choice(others)
        begin = chance.randint(0, len(other))
        data[place : place + length] = other[begin : begin + length]
    else:
        data[place : place + length] = chance.randbytes(length)


def damage_text(
    chance: random.Random, data: bytes, others: Sequence[bytes] = (), words: Sequence[str] = HOSTILE_WORDS
) -> bytes:
    """Words replaced by hostile ones, lines doubled, removed, exchanged or taken from elsewhere."""
    lines = data[:MOST_BYTES].split(b"\n")
    for _ in range(chance.choice((1, 1, 2, 3))):
        at = chance.randrange(len(lines)) if lines else 0
        kind = chance.randrange(7)
        if kind <= 2 and lines:
            lines[at] = _with_another_word(chance, lines[at], words)
        elif kind == 3 and lines:
            lines[at:at] = [lines[at]] * chance.choice((1, 1, 2, 500))
        elif kind == 4 and lines:
            del lines[at]
        elif kind == 5 and lines:
            other = chance.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        elif others:
            lines[at:at] = [chance.choice(chance.choice(others).split(b"\n"))]
    return b"\n".join(lines)[:MOST_BYTES]


def _with_another_word(chance: random.Random, line: bytes, words: Sequence[str]) -> bytes:
    pieces = line.replace(b"=", b" = ").split(b" ")
    place = chance.randrange(len(pieces))
    word = chance.choice(words).encode("utf-8", "surrogatepass")
    pieces[place] = b'"%s"' % word if pieces[place][:1] == b'"' and chance.random() < 0.7 else word
    return b" ".join(pieces)


def damage_json(chance: random.Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Values of a JSON text replaced, removed, doubled; now and then nested without end, or damaged as text."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return damage_bytes(chance, data, others)
    kind = chance.randrange(12)
    if kind == 0:
        return damage_bytes(chance, data, others)
    if kind == 1:
        depth = chance.choice((500, 5000, 200_000))
        nested = b"[" * depth + b"]" * depth if chance.random() < 0.5 else b'{"a":' * depth
        return data.replace(chance.choice((b"0", b"1", b'""', b"[]", b"{}")), nested, 1)
    if kind == 2:
        return data.replace(b"1", chance.choice((b"1e999", b"NaN", b"-Infinity", b"1" * 5000, b"01", b"1.")), 1)
    for _ in range(chance.choice((1, 1, 2, 4))):
        value = with_another_value(chance, value)
    return json.dumps(value).encode()


def with_another_value(chance: random.Random, value: Any) -> Any:
    """The same value of JSON with one place changed."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        changed = dict(value)
        kind = chance.randrange(10)
        if kind == 0:
            del changed[key]
        elif kind == 1:
            changed[chance.choice(HOSTILE_WORDS)] = value[key]
        else:
            changed[key] = with_another_value(chance, value[key])
        return changed
    if isinstance(value, list) and value and chance.random() < 0.9:
        place = chance.randrange(len(value))
        kind = chance.randrange(10)
        if kind == 0:
            return value[:place] + value[place + 1 :]
        if kind == 1:
            return value[:place] + [value[place]] * chance.choice((2, 200)) + value[place:]
        return [*value[:place], with_another_value(chance, value[place]), *value[place + 1 :]]
    return chance.choice(HOSTILE_VALUES)
