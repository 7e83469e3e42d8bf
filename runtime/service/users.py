"""Who may log in: a file of names and scrypt hashes (RFC 7914), one user per line, `#` begins a comment.

A line is `name:scrypt$N$r$p$SALT$HASH`, salt and hash in base64.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..files.atomic import atomic_write

# 16 MiB and a fifth of a second, as OWASP's sheet on storing passwords has it for so little memory.
_COST, _BLOCK, _LANES = 2**14, 8, 5
# What a line may ask for: one that was tampered with must not take all memory.
_HIGHEST_COST, _HIGHEST_BLOCK, _HIGHEST_LANES = 2**17, 16, 16
_SALT_BYTES, _HASH_BYTES = 16, 32
_LONGEST_PASSWORD = 1024
_MOST_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


@dataclass(frozen=True)
class PasswordHash:
    """What is kept of a password.

    Attributes:
        cost, block, lanes: scrypt's N, r and p.
        salt: random bytes.
        digest: scrypt's answer.
    """

    cost: int
    block: int
    lanes: int
    salt: bytes
    digest: bytes

    @classmethod
    def of(cls, password: str) -> PasswordHash:
        """Hash a password with a new salt."""
        salt = secrets.token_bytes(_SALT_BYTES)
        return cls(_COST, _BLOCK, _LANES, salt, _scrypt(password, salt, _COST, _BLOCK, _LANES, _HASH_BYTES))

    @classmethod
    def parse(cls, text: str) -> PasswordHash:
        """Read what `str` of one gives.

        Raises:
            ValueError: it is something else, or asks for more than is reasonable.
        """
        kind, cost, block, lanes, salt, digest = text.split("$")
        figures = int(cost), int(block), int(lanes)
        try:
            read = cls(*figures, base64.b64decode(salt, validate=True), base64.b64decode(digest, validate=True))
        except binascii.Error as cause:
            raise ValueError(str(cause)) from cause
        is_power = read.cost > 1 and read.cost & (read.cost - 1) == 0
        if kind != "scrypt" or not is_power or not (len(read.salt) >= 8 and 16 <= len(read.digest) <= 64):
            raise ValueError("no scrypt hash")
        limits = (_HIGHEST_COST, _HIGHEST_BLOCK, _HIGHEST_LANES)
        if not all(1 <= figure <= limit for figure, limit in zip(figures, limits, strict=True)):
            raise ValueError(f"N, r and p go up to {', '.join(map(str, limits))}")
        return read

    def is_of(self, password: str) -> bool:
        """Whether a password is the one, compared in constant time."""
        if len(password) > _LONGEST_PASSWORD:
            return False
        answer = _scrypt(password, self.salt, self.cost, self.block, self.lanes, len(self.digest))
        return hmac.compare_digest(answer, self.digest)

    def __str__(self) -> str:
        salt, digest = (base64.b64encode(raw).decode() for raw in (self.salt, self.digest))
        return f"scrypt${self.cost}${self.block}${self.lanes}${salt}${digest}"


class Users:
    """Those who may log in.

    Attributes:
        names: theirs, in the order of the file.
    """

    def __init__(self, hashes: dict[str, PasswordHash]) -> None:
        """Users by name."""
        self._hashes = hashes
        # Whoever does not exist is compared too, so that the time says nothing of who does.
        self._nobody = PasswordHash.of(secrets.token_hex(16))
        # A machine that logs in again and again is not kept waiting: what was right is known by a keyed digest.
        self._key, self._known = secrets.token_bytes(32), set[bytes]()

    @property
    def names(self) -> list[str]:
        """Their names."""
        return list(self._hashes)

    def may_enter(self, name: str, password: str) -> bool:
        """Whether there is a user of this name and password."""
        proof = hmac.digest(self._key, f"{name}\0{password}".encode(errors="surrogatepass"), "sha256")
        if proof in self._known:
            return True
        is_right = self._hashes.get(name, self._nobody).is_of(password) and name in self._hashes
        if is_right:
            self._known.add(proof)
        return is_right


def read_users(path: Path) -> Users:
    """Read a file of users.

    Raises:
        UsageError: it cannot be read, a line is none of a user, or a name stands there twice.
    """
    hashes: dict[str, PasswordHash] = {}
    for line_number, line in enumerate(_lines(path), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, text = line.strip().partition(":")
        try:
            if not _NAME.fullmatch(name) or name in hashes:
                raise ValueError("the name is empty, or is there twice")
            hashes[name] = PasswordHash.parse(text)
        except ValueError as cause:
            raise UsageError(
                f"{path}, line {line_number}: is not a user ({cause}): write it with `cmdiad-rt users add`"
            ) from cause
    return Users(hashes)


def add_user(path: Path, name: str, password: str) -> bool:
    """Write a user into a file, which only its owner may read; one of that name has the new password from now on.

    Returns:
        Whether there was one of that name.

    Raises:
        UsageError: the name or the password is not valid, or the file is not a file of users.
        OutputError: it cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"user {name!r}: a name consists of letters, digits, and . _ @ - (at most 64)")
    if not 8 <= len(password) <= _LONGEST_PASSWORD or not password.isprintable():
        raise UsageError(
            f"a password has 8 to {_LONGEST_PASSWORD} visible characters, but this one has {len(password)}"
        )
    is_known, lines = False, list[str]()
    if path.exists():
        is_known = name in read_users(path).names
        lines = [line for line in _lines(path) if line.partition(":")[0].strip() != name]
    with atomic_write(path) as stream:
        if hasattr(os, "fchmod"):
            os.fchmod(stream.fileno(), 0o600)
        stream.write("".join(f"{line}\n" for line in [*lines, f"{name}:{PasswordHash.of(password)}"]).encode())
    return is_known


def _lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as stream:
            raw = stream.read(_MOST_BYTES + 1)
        if len(raw) > _MOST_BYTES:
            raise UsageError(f"{path}: has more than {_MOST_BYTES} bytes: this is not a users file")
        return raw.decode().splitlines()
    except OSError as cause:
        raise UsageError(f"{path}: cannot be read: {cause.strerror or cause}") from cause
    except UnicodeDecodeError as cause:
        raise UsageError(f"{path}: is not text: this is not a users file") from cause


def _scrypt(password: str, salt: bytes, cost: int, block: int, lanes: int, length: int) -> bytes:
    memory = 128 * block * (cost + lanes + 2) + (1 << 16)
    encoded = password.encode(errors="surrogatepass")
    return hashlib.scrypt(encoded, salt=salt, n=cost, r=block, p=lanes, maxmem=memory, dklen=length)
