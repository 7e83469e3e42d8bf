"""`cmdiad keys`: make the keys that bundles are signed with, and say what they are called."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from . import console
from .entry import new_app
from .extras import SIGN, needs
from .signing import PASSPHRASE_VARIABLE, passphrase

app = new_app("Keys that bundles are signed with: make one, show its ID.", name="keys")


@app.command(short_help="Make a key: NAME.key to sign with, NAME.pub to check with.")
@needs(SIGN)
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of both files, and of who signs with it.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for both files.")] = Path(),
    encrypt: Annotated[
        bool,
        typer.Option(
            "--encrypt", help="Ask for a passphrase, which encrypts NAME.key.  [default: $CMDIAD_KEY_PASSPHRASE]"
        ),
    ] = False,
) -> None:
    """Make an Ed25519 key: NAME.key to sign with, which its owner alone can read, and NAME.pub to check with."""
    from ..runtime.bundle.key_files import new_key

    given = os.environ.get(PASSPHRASE_VARIABLE)
    if encrypt and given is None:
        given = typer.prompt("passphrase", hide_input=True, confirmation_prompt=True, err=True)
    private, public, key = new_key(name, out, None if given is None else os.fsencode(given))
    console.emit(f"key ID: {key.key_id}")
    console.emit(f"to sign with, keep it: {private}{'' if given is not None else ' (not encrypted)'}")
    console.emit(f"to check with, for the lines: {public}")


@app.command(short_help="Print the ID of a key.")
@needs(SIGN)
def show(
    path: Annotated[Path, typer.Argument(metavar="KEY", help="NAME.pub or NAME.key.")],
) -> None:
    """Print the ID of a key, which signatures are listed by."""
    from ..runtime.bundle.key_files import key_of

    console.emit(key_of(path, passphrase).key_id)
