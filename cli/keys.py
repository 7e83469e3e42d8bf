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

app = new_app("Make keys for signing bundles, and show their IDs.", name="keys")


@app.command(short_help="Make a key: NAME.key for signing, NAME.pub for checking.")
@needs(SIGN)
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of both files, and of the signer.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for both files.")] = Path(),
    encrypt: Annotated[
        bool,
        typer.Option(
            "--encrypt", help="Ask for a passphrase and encrypt NAME.key with it.  [default: $CMDIAD_KEY_PASSPHRASE]"
        ),
    ] = False,
) -> None:
    """Make an Ed25519 key: NAME.key for signing, which only its owner can read, and NAME.pub for checking."""
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
    """Print the ID of a key, by which signatures are listed."""
    from ..runtime.bundle.key_files import key_of

    console.emit(key_of(path, passphrase).key_id)
