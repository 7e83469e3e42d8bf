"""Numbers from outside: those that are not finite or out of range are refused by name, NaN included."""

from __future__ import annotations

import math


def require_finite(owner: object, *names: str) -> None:
    """Of an object's fields.

    Raises:
        ValueError: names the field; msgspec, while decoding, and callers say where.
    """
    for name in names:
        if not math.isfinite(getattr(owner, name)):
            raise ValueError(f"{name} is {getattr(owner, name)}: must be a finite number")


def require_positive(owner: object, *names: str) -> None:
    """The same for fields that are above zero; see `require_finite`."""
    for name in names:
        if not 0 < getattr(owner, name) < math.inf:
            raise ValueError(f"{name} is {getattr(owner, name)}: must be above 0 and finite")


def require_share(owner: object, *names: str) -> None:
    """The same for fields that are above 0 and at most 1; see `require_finite`."""
    for name in names:
        if not 0 < getattr(owner, name) <= 1:
            raise ValueError(f"{name} is {getattr(owner, name)}: must be above 0 and at most 1")
