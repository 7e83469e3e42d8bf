"""Passwords and tokens: each alone in a file, so that none stands in `line.toml` or on a command line."""

from __future__ import annotations

from pathlib import Path

from ..errors import UsageError

_MOST_BYTES = 4096


def read_secret(path: Path) -> str:
    """The one line of a file, without its line break.

    Raises:
        UsageError: the file cannot be read, is empty, or holds more than one line of visible characters.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(_MOST_BYTES + 1)
    except OSError as cause:
        raise UsageError(f"{path}: cannot be read: {cause.strerror or cause}") from cause
    try:
        secret = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError as cause:
        raise UsageError(f"{path}: is not text: it must hold the secret on one line, in UTF-8") from cause
    if not secret or len(raw) > _MOST_BYTES or not secret.isprintable():
        raise UsageError(f"{path}: must hold the secret on one line, and nothing else ({len(raw)} bytes are there)")
    return secret


def read_token(path: Path, at_least: int = 1) -> str:
    """A bearer token: the one line of a file, without spaces around it, as a header can hold it.

    Args:
        path: the file.
        at_least: characters, where we are who asks for it.

    Raises:
        UsageError: as for `read_secret`; also if it is not a token, or is too short to be a secret.
    """
    token = read_secret(path).strip()
    if not token.isascii() or " " in token:
        raise UsageError(
            f"{path}: has a token that does not fit in a header: use letters, digits, dashes and underscores"
        )
    if len(token) < at_least:
        raise UsageError(
            f"{path}: has a token of {len(token)} characters, but at least {at_least} are needed: make one with "
            "`python -c 'import secrets; print(secrets.token_urlsafe(32))'`"
        )
    return token
