"""Ed25519 keys (RFC 8032) in files: NAME.pub for those who check, NAME.key for the one who signs; both PEM.

The public file is read without any package; everything else needs `cryptography`, the extra `sign`.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import re
import stat
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OutputError, UsageError
from ..files.atomic import atomic_write_bytes, require_writable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PUBLIC_SUFFIX, PRIVATE_SUFFIX = ".pub", ".key"
_MAX_BYTES = 1 << 16
_ID_CHARACTERS = 16
# What stands before the 32 bytes of a public Ed25519 key in DER (RFC 8410, section 4).
_DER_HEAD = bytes.fromhex("302a300506032b6570032100")
_PUBLIC_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]*)-----END PUBLIC KEY-----")
_PRIVATE, _ENCRYPTED = b"PRIVATE KEY-----", b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class PublicKey:
    """A public key, 32 bytes."""

    raw: bytes

    @property
    def key_id(self) -> str:
        """What a key is called: the first 16 hex digits of the SHA-256 of its 32 bytes."""
        return hashlib.sha256(self.raw).hexdigest()[:_ID_CHARACTERS]

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether this key's owner signed a message.

        Raises:
            UsageError: `cryptography` is not installed.
        """
        require_cryptography()
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def pem(self) -> bytes:
        """The content of its file."""
        text = base64.b64encode(_DER_HEAD + self.raw)
        return b"-----BEGIN PUBLIC KEY-----\n" + text + b"\n-----END PUBLIC KEY-----\n"


@dataclass(frozen=True)
class SigningKey:
    """A private key; `name` is its file's, without the suffix."""

    name: str
    public: PublicKey
    private: Ed25519PrivateKey = field(repr=False, compare=False)

    def sign(self, message: bytes) -> bytes:
        """The signature of a message, 64 bytes; equal messages give equal ones."""
        return self.private.sign(message)


def require_cryptography() -> None:
    """Look for what signing and checking need, without importing it.

    Raises:
        UsageError: it is not installed; the message has the line that installs it.
    """
    if importlib.util.find_spec("cryptography") is None:
        raise UsageError("signatures need the extra `sign`: pip install 'cmdiad[sign]'")


def read_public_key(path: Path) -> PublicKey:
    """The public key of a file.

    Raises:
        UsageError: it cannot be read, or holds something else.
    """
    content = _content(path)
    if _PRIVATE in content:
        raise UsageError(f"{path}: is a private key, which only the signer may have: give its {PUBLIC_SUFFIX} file")
    block = _PUBLIC_PEM.search(content)
    der = b"" if block is None else _decoded(block.group(1))
    if len(der) != len(_DER_HEAD) + 32 or not der.startswith(_DER_HEAD):
        raise UsageError(f"{path}: is not an Ed25519 public key in PEM: give a file that `cmdiad keys new` wrote")
    return PublicKey(der[len(_DER_HEAD) :])


def read_signing_key(path: Path, ask: Callable[[Path], bytes]) -> SigningKey:
    """The private key of a file.

    Args:
        path: the file.
        ask: gives the passphrase of a file that is encrypted.

    Raises:
        UsageError: it cannot be read, the passphrase is wrong, or it holds something else.
    """
    require_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _content(path)
    if _PRIVATE not in content:
        raise UsageError(f"{path}: is not a private key in PEM: give the {PRIVATE_SUFFIX} file of `cmdiad keys new`")
    _warn_if_open(path)
    passphrase = ask(path) if _ENCRYPTED in content else None
    try:
        private = load_pem_private_key(content, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as cause:
        reason = "is damaged" if passphrase is None else "is damaged, or the passphrase is wrong"
        raise UsageError(f"{path}: the private key {reason}: give another") from cause
    if not isinstance(private, Ed25519PrivateKey):
        raise UsageError(f"{path}: is a key of another kind than Ed25519: make one with `cmdiad keys new NAME`")
    return SigningKey(path.stem, PublicKey(private.public_key().public_bytes_raw()), private)


def key_of(path: Path, ask: Callable[[Path], bytes]) -> PublicKey:
    """The public key of either file; see `read_public_key` and `read_signing_key`."""
    return read_signing_key(path, ask).public if _PRIVATE in _content(path) else read_public_key(path)


def new_key(name: str, folder: Path, passphrase: bytes | None = None) -> tuple[Path, Path, PublicKey]:
    """Make a key and write NAME.key (PKCS #8, for its owner's eyes alone) and NAME.pub.

    Args:
        name: of both files.
        folder: for both; it is created.
        passphrase: encrypts NAME.key; None: it is not encrypted.

    Raises:
        UsageError: the name cannot be a file's, a file of that name exists, or the passphrase is empty.
        OutputError: they cannot be written.
    """
    require_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if not _NAME.fullmatch(name) or not name.strip("."):
        raise UsageError(f"key name {name!r}: use letters, digits, dots, dashes and underscores")
    if passphrase == b"":
        raise UsageError("the passphrase is empty: give one, or make the key without")
    private_path, public_path = (folder / f"{name}{suffix}" for suffix in (PRIVATE_SUFFIX, PUBLIC_SUFFIX))
    for path in (private_path, public_path):
        if path.exists():
            raise UsageError(f"{path}: already exists, and a lost key cannot be recreated: choose another name")
        require_writable(path)
    private = Ed25519PrivateKey.generate()
    _write_private(private_path, _private_pem(private, passphrase))
    public = PublicKey(private.public_key().public_bytes_raw())
    atomic_write_bytes(public_path, public.pem())
    return private_path, public_path, public


def _private_pem(private: Ed25519PrivateKey, passphrase: bytes | None) -> bytes:
    from cryptography.hazmat.primitives import serialization

    if passphrase is None:
        protection: serialization.KeySerializationEncryption = serialization.NoEncryption()
    else:
        protection = serialization.BestAvailableEncryption(passphrase)
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)


def _write_private(path: Path, content: bytes) -> None:
    """A new file that nobody but its owner could read at any time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(_MAX_BYTES)
    except (OSError, ValueError) as cause:
        reason = getattr(cause, "strerror", None) or cause
        raise UsageError(f"{path}: the key cannot be read: {reason}: give the path of a key file") from cause


def _decoded(text: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except ValueError:
        return b""


def _warn_if_open(path: Path) -> None:
    if os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        warnings.warn(f"{path}: users other than its owner can read this private key: chmod 600 it", stacklevel=2)
