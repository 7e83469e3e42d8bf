"""A file that was in progress when the process ended is inspected by another process first, to see if that survives."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from ..bundle.reading import open_bundle
from ..bundle.signature import find_trusted
from ..child_python import end_with_parent, ending, last_words, run_child
from ..errors import CmdiadError, PoisonError
from .inspector_settings import InspectorSettings

_PATIENCE_SECONDS = 120.0


def survives(
    bundle: Path, scan: Path, settings: InspectorSettings, patience_seconds: float = _PATIENCE_SECONDS
) -> None:
    """Inspect a scan in a process of its own; any verdict or error there is fine.

    Raises:
        PoisonError: that process ended, or hung.
    """
    told = msgspec.json.encode(settings).decode()
    end = run_child(__name__, [str(bundle), str(scan), told], patience_seconds)
    if end.code is None:
        raise PoisonError(
            f"is not done after {patience_seconds:g} s in a separate process: check the file, it hangs any process "
            "that inspects it"
        )
    if end.code != 0:
        raise PoisonError(
            f"ends the process that inspects it ({ending(end.code)}{last_words(end.said)}): check the file"
        )


def _inspect_here(bundle: Path, scan: Path, settings: InspectorSettings) -> None:
    end_with_parent()
    with suppress(CmdiadError):
        # What lies there may not be the bundle at work: nothing of a stranger's runs here either.
        opened = open_bundle(bundle, find_trusted(settings.require_signature))
        settings.open(opened, None)(scan)


if __name__ == "__main__":
    _inspect_here(Path(sys.argv[1]), Path(sys.argv[2]), msgspec.json.decode(sys.argv[3], type=InspectorSettings))
