"""A new bundle is opened and tested in a process of its own before the line opens it.

What a self-test leaves behind in memory never enters the line's process, and a bundle that ends or hangs the process
that opens it does not stop the line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from ..bundle.reading import open_bundle
from ..bundle.signature import find_trusted
from ..child_python import end_with_parent, ending, last_words, run_child
from ..errors import BundleError, as_cmdiad_error
from .inspector_settings import InspectorSettings, require_selftest

# A provider may compile its networks first, which takes minutes.
PATIENCE_SECONDS = 600.0
# Parts that wait for their verdict go first.
_NICENESS = 5


def rehearse(
    path: Path,
    settings: InspectorSettings,
    is_unwanted: Callable[[], bool] = lambda: False,
    patience_seconds: float = PATIENCE_SECONDS,
) -> str:
    """Verify a bundle, open it and repeat its golden scans, all in a process of its own: its manifest's digest.

    Args:
        path: a folder or a .cmdiad file.
        settings: as the line will open it.
        is_unwanted: says when nobody waits for this any more.
        patience_seconds: how long it may take.

    Raises:
        BundleError: it cannot be opened, nobody trusted has signed it, it fails its self-test, or the process ends or
            hangs over it.
    """
    end = run_child(__name__, [str(path), msgspec.json.encode(settings).decode()], patience_seconds, is_unwanted)
    if end.code is None:
        why = "the line was stopped" if is_unwanted() else f"it was not done after {patience_seconds:g} s"
        raise BundleError(f"{path}: its test in a separate process was aborted: {why}")
    outcome = _outcome_of(end.printed)
    if "error" in outcome:
        raise BundleError(outcome["error"])
    if end.code != 0 or "digest" not in outcome:
        raise BundleError(
            f"{path}: ends the process that tests it ({ending(end.code)}{last_words(end.said)}): run "
            f"`cmdiad-rt selftest --bundle {path}` to see why"
        )
    return outcome["digest"]


def _outcome_of(printed: bytes) -> dict[str, str]:
    """The last line, if that is the object that the process prints."""
    try:
        return msgspec.json.decode(printed.rstrip().rpartition(b"\n")[2], type=dict[str, str])
    except msgspec.DecodeError:
        return {}


def _tested_here(path: Path, settings: InspectorSettings) -> dict[str, Any]:
    try:
        bundle = open_bundle(path, find_trusted(settings.require_signature))
        settings.open(bundle, None).close()
        require_selftest(bundle, settings)
    except Exception as error:
        return {"error": str(as_cmdiad_error(error))}
    return {"digest": bundle.manifest.digest}


def _main() -> None:
    end_with_parent()
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    outcome = _tested_here(Path(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=InspectorSettings))
    sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")


if __name__ == "__main__":
    _main()
