"""What the commands that sign share: options, passphrases, and what they say."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..runtime.errors import UsageError
from . import console
from .extras import SIGN, require_extras

if TYPE_CHECKING:
    from ..runtime.bundle.key_files import SigningKey
    from ..runtime.bundle.signing import SigningNote

PASSPHRASE_VARIABLE = "CMDIAD_KEY_PASSPHRASE"
Sign = Annotated[
    list[Path] | None,
    typer.Option("--sign", metavar="KEY", help="Sign the bundle with this private key; repeatable."),
]


def signing_keys(paths: Sequence[Path] | None, command: str) -> list[SigningKey]:
    """The keys that a command is to sign with, read before its work begins.

    Raises:
        UsageError: one cannot be read, or signing is not installed.
    """
    if not paths:
        return []
    require_extras(command, SIGN)
    from ..runtime.bundle.key_files import read_signing_key

    return [read_signing_key(path, passphrase) for path in paths]


def passphrase(path: Path) -> bytes:
    """Of an encrypted key: $CMDIAD_KEY_PASSPHRASE, else asked for on the terminal.

    Raises:
        UsageError: there is neither.
    """
    given = os.environ.get(PASSPHRASE_VARIABLE)
    if given is None:
        if not sys.stdin.isatty():
            raise UsageError(f"{path}: the key is encrypted: set ${PASSPHRASE_VARIABLE}, or run this on a terminal")
        given = typer.prompt(f"passphrase of {path}", hide_input=True, err=True)
    return os.fsencode(given)


def note_of(signer: str | None = None, comment: str = "", date: str | None = None) -> SigningNote:
    """What a signature says; the date is today's, in UTC, where none is given."""
    from datetime import UTC, datetime

    from ..runtime.bundle.signing import SigningNote

    return SigningNote(date or datetime.now(UTC).strftime("%Y-%m-%d"), signer, comment)


def sign_result(
    target: Path, keys: Sequence[SigningKey], note: SigningNote, alone: bool = False, aloud: bool = True
) -> None:
    """Sign a bundle and say so; not aloud where standard output is for JSON alone."""
    from ..runtime.bundle.signing import sign_bundle

    signed = sign_bundle(target, keys, note, alone)
    for what in signed.dropped:
        console.warn(f"{target}: dropped: {what}")
    for entry in signed.signatures if aloud else ():
        console.emit(f"signed: {entry.in_words()}")


def finish_signing(target: Path, keys: Sequence[SigningKey], signed_before: bool, aloud: bool = True) -> None:
    """Sign what a command has just written, or warn that it lost its signature by that."""
    if keys:
        sign_result(target, keys, note_of(), aloud=aloud)
    elif signed_before:
        console.warn(
            f"{target}: is not signed: the bundle was, and what changes a bundle ends its signatures: sign it again "
            f"with `cmdiad sign {target} --key KEY`, or give --sign KEY"
        )
