"""The product's commands as a user types them, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

ENTRIES = {"cmdiad": "cmdiad.cli.workstation", "cmdiad-rt": "cmdiad.cli.line"}


def command_line(program: str, *arguments: object) -> list[str]:
    """`cmdiad` or `cmdiad-rt` of this very checkout, with arguments."""
    return [sys.executable, "-c", f"from {ENTRIES[program]} import main; main()", *map(str, arguments)]


def printed(program: str, *arguments: object) -> str:
    """What a command prints.

    Raises:
        CalledProcessError: it failed.
    """
    command = command_line(program, *arguments)
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
