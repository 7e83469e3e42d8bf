"""The environment of a Python process that we start: it finds what we found, and nothing in the user's folder."""

from __future__ import annotations

import os
import signal
import sys

TAIL_CHARACTERS = 400


def child_environment() -> dict[str, str]:
    """This process's environment, with its own search path in absolute form.

    A path on PYTHONPATH may be relative, and means another folder once the child runs elsewhere; others were added
    after the start. The working directory is left out: what lies there is the user's.
    """
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    places = dict.fromkeys(os.path.abspath(place) for place in [*given, *sys.path] if place)  # noqa: PTH100
    # Since Python 3.11: `-m` does not look into the working directory first.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(places), "PYTHONSAFEPATH": "1"}


def ending(code: int) -> str:
    """How a process ended, by its return code: the signal's name, or the exit code."""
    return signal.Signals(-code).name if -code in set(signal.Signals) else f"exit code {code}"


def last_words(printed: bytes) -> str:
    """The end of what a process printed, in one line, to be put behind an error; empty where it printed nothing."""
    text = " ".join(printed.decode(errors="replace").split())[-TAIL_CHARACTERS:]
    return f"; it said last: {text}" if text else ""
