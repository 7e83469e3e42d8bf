"""A Python process that we start: it finds what we found and nothing in the user's folder, and ends with us."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

TAIL_CHARACTERS = 400
_LOOK_SECONDS = 0.1
_MOST_PRINTED_BYTES = 1 << 20
# What libraries color their messages with.
_COLORS = re.compile(r"\x1b\[[0-9;]*m")
# Linux's loader, and ONNX Runtime's words for that of Windows.
_MISSING_LIBRARY = re.compile(
    r'[^\s:]+: cannot open shared object file(: No such file or directory)?|"[^"\n]+" which is missing'
)


@dataclass(frozen=True)
class ChildEnd:
    """How a process of ours ended.

    Attributes:
        code: its return code; None: it was not done in time, or no longer wanted, and was killed.
        printed: on standard output, at most a mebibyte.
        said: on standard error, the same.
    """

    code: int | None
    printed: bytes
    said: bytes


def run_child(
    module: str, arguments: Sequence[str], patience_seconds: float, is_unwanted: Callable[[], bool] = lambda: False
) -> ChildEnd:
    """Run one of our modules in a process of its own, which should call `end_with_parent` first.

    Args:
        module: its full name.
        arguments: behind it.
        patience_seconds: after these it is killed.
        is_unwanted: asked several times a second; once it says yes the process is killed.
    """
    deadline = time.monotonic() + patience_seconds
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as said:
        # Nothing is written to its standard input: that closes when this process ends, and then it ends too.
        with subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=printed,
            stderr=said,
            env=child_environment(),
        ) as process:
            code: int | None = None
            while code is None:
                try:
                    code = process.wait(min(_LOOK_SECONDS, patience_seconds))
                except subprocess.TimeoutExpired:
                    if time.monotonic() >= deadline or is_unwanted():
                        process.kill()
                        break
        printed.seek(0)
        said.seek(0)
        return ChildEnd(code, printed.read(_MOST_PRINTED_BYTES), said.read(_MOST_PRINTED_BYTES))


def end_with_parent() -> None:
    """End this process, started by `run_child`, at once when the one that started it is gone."""
    threading.Thread(target=_wait_for_the_end, daemon=True).start()


def _wait_for_the_end() -> None:
    # Not by `sys.stdin`, whose lock would be held when the interpreter ends.
    os.read(0, 1)
    os._exit(1)


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
    """What a process printed last, in one line, to be put behind an error; empty where it printed nothing.

    A line that names a library that is missing says more than what follows from it.
    """
    text = _COLORS.sub("", printed.decode(errors="replace"))
    missing = missing_library(text)
    words = " ".join(text.split())[-TAIL_CHARACTERS:] if missing is None else missing
    return f"; its last output: {words}" if words else ""


def missing_library(text: str) -> str | None:
    """The first library that a text says is missing, in the words of the system's loader; None: it says so of none."""
    named = _MISSING_LIBRARY.search(text)
    return None if named is None else named.group()
