"""`cmdiad-rt users`: who may log in to the line's OPC UA server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from . import console
from .entry import new_app

app = new_app("Manage who may log in to the line.", name="users")


@app.command(short_help="Add a user, or give a user a new password.")
def add(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The users_file of line.toml; it is created if missing.")
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The user.")],
) -> None:
    """Add a user to a users file, or give a user a new password.

    Asks for the password; if standard input is not a terminal, reads it from the first line.
    """
    from ..runtime.service.users import add_user

    is_known = add_user(file, name, _password(name))
    console.emit(f"{file}: {name} {'has a new password' if is_known else 'may log in'}")


def _password(name: str) -> str:
    """A password, typed twice without being shown, or from a pipe.

    Raises:
        UsageError: the two differ.
    """
    from getpass import getpass

    from ..runtime.errors import UsageError

    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass(f"Password for {name}: ")
    if getpass("Again: ") != password:
        raise UsageError("the two passwords differ: nothing is changed")
    return password
