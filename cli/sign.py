"""`cmdiad sign`: sign a bundle, so that a line can tell whose it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .extras import SIGN, needs
from .interruption import when_interrupted


@needs(SIGN)
@when_interrupted("the bundle is as it was before: run it again")
def sign(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Bundle folder or .cmdiad file.")],
    key: Annotated[list[Path], typer.Option("--key", metavar="KEY", help="Private key, NAME.key; repeatable.")],
    signer: Annotated[str | None, typer.Option(help="The signer's name.  [default: the key file's name]")] = None,
    comment: Annotated[str, typer.Option(help="A comment in the signature.")] = "",
    date: Annotated[
        str | None, typer.Option(help="Date of the signature.  [default: today in UTC, as 2026-11-28]")
    ] = None,
    only: Annotated[bool, typer.Option("--only", help="Remove the signatures by all other keys.")] = False,
) -> None:
    """Sign a bundle in place, after verifying every byte; signatures by other keys stay.

    Exit codes: 0 done, 2 wrong usage, 4 bad bundle, 74 it cannot be written.
    """
    from . import signing

    keys = signing.signing_keys(key, "sign")
    signing.sign_result(bundle, keys, signing.note_of(signer, comment, date), only)
