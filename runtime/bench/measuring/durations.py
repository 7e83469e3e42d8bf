"""Durations and shares as a user writes and reads them: 800ms, 1.5s, 10 %."""

from __future__ import annotations

import math
import re

from ...errors import UsageError

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0}
_DURATION = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*(us|ms|s|min)\s*", re.ASCII)


def parse_duration(text: str, option: str) -> float:
    """Seconds of a number with its unit; a bare number is refused, because nobody can tell ms from s in it.

    Raises:
        UsageError: it is not a positive number followed by us, ms, s or min.

    Example:
        >>> parse_duration("800ms", "--takt")
        0.8
    """
    match = _DURATION.fullmatch(text)
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if not 0 < seconds < math.inf:
        raise UsageError(f"{option} {text}: give a positive number with its unit, such as 800ms or 1.5s")
    return seconds


def in_ms(seconds: float) -> str:
    """Milliseconds with three significant digits, never in exponent form.

    Example:
        >>> in_ms(0.0412345)
        '41.2'
    """
    milliseconds = 1e3 * seconds
    if milliseconds == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(milliseconds))))
    return f"{milliseconds:.{digits}f}"
