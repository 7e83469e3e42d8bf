"""A file that was under way whenever the process ended is inspected by another process first: does that one survive?"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from ..child_python import child_environment, ending, last_words
from ..errors import CmdiadError, PoisonError
from ..inspector import Inspector
from .products import InspectorSettings

_PATIENCE_SECONDS = 120.0


def survives(
    bundle: Path, scan: Path, settings: InspectorSettings, patience_seconds: float = _PATIENCE_SECONDS
) -> None:
    """Inspect a scan in a process of its own; any verdict or error there is fine.

    Raises:
        PoisonError: that process ended, or hung.
    """
    command = [sys.executable, "-m", __name__, str(bundle), str(scan), settings.provider]
    with tempfile.TemporaryFile() as said:
        # Nothing is written to it: its end of the pipe closes when this process ends, and then it ends too.
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, env=child_environment()
        ) as process:
            try:
                process.wait(patience_seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                raise PoisonError(
                    f"is not done after {patience_seconds:g} s in a process of its own: look at the file, it hangs "
                    "whoever inspects it"
                ) from None
        said.seek(0)
        printed = said.read()
    if process.returncode != 0:
        raise PoisonError(
            f"ends the process that inspects it ({ending(process.returncode)}{last_words(printed)}): look at the file"
        )


def _inspect_here(bundle: Path, scan: Path, provider: str) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        Inspector.load(bundle, provider)(scan)
    except CmdiadError:
        return


def _end_with_parent() -> None:
    # Not by `sys.stdin`, whose lock would be held when the interpreter ends.
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    _inspect_here(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
