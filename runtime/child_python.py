"""The environment of a Python process that we start: it finds what we found, and nothing in the user's folder."""

from __future__ import annotations

import os
import sys


def child_environment() -> dict[str, str]:
    """This process's environment, with its own search path in absolute form.

    A path on PYTHONPATH may be relative, and means another folder once the child runs elsewhere; others were added
    after the start. The working directory is left out: what lies there is the user's.
    """
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    places = dict.fromkeys(os.path.abspath(place) for place in [*given, *sys.path] if place)  # noqa: PTH100
    # Since Python 3.11: `-m` does not look into the working directory first.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(places), "PYTHONSAFEPATH": "1"}
