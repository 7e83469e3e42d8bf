"""Who signed a bundle: `signature.json`, beside the manifest and not listed in it.

What is signed is the SHA-256 of the manifest's bytes, and the manifest holds the SHA-256 of every file, so a signature
covers the whole bundle. Ed25519 (RFC 8032) signs it together with who signed, when, and a comment.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from ..errors import BundleError, UsageError
from ..files.json_encoding import encode_json_file
from .key_files import PublicKey, SigningKey, read_public_key, require_cryptography
from .stores import Store

NAME = "signature.json"
TRUST_VARIABLE = "CMDIAD_REQUIRE_SIGNATURE"
FORMAT_VERSION = 1
MAX_BYTES = 64 << 10
MOST_SIGNATURES = 16
_HEADING = "cmdiad bundle signature"

_KeyId = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{16}\Z")]
_Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Signature = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9+/]{86}==\Z")]
# One line of text: it is printed, and no character of it may move a terminal's cursor or turn the text around.
_CONTROLS = r"\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069"
_Line = Annotated[str, msgspec.Meta(max_length=200, pattern=rf"\A[^{_CONTROLS}]*\Z")]


class Signing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a signer states about a bundle, all of it covered by the signature.

    Attributes:
        format_version: of this statement.
        algorithm: ed25519.
        key_id: of the key, see `PublicKey.key_id`.
        manifest_digest: SHA-256 of the bytes of manifest.json.
        signer: who signed, as they state it.
        comment: anything else they state; may be empty.
        date: when they signed, as they state it.
    """

    format_version: int = FORMAT_VERSION
    algorithm: Literal["ed25519"] = "ed25519"
    key_id: _KeyId
    manifest_digest: _Digest
    signer: _Line
    comment: _Line = ""
    date: _Line

    def signed_bytes(self) -> bytes:
        """What Ed25519 signs: a heading, then a line `name value` per field, in UTF-8. No value has a line break."""
        lines = [_HEADING, *(f"{name} {getattr(self, name)}" for name in self.__struct_fields__)]
        return ("\n".join(lines) + "\n").encode()


class BundleSignature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One signature of a bundle: what was signed, and Ed25519's 64 bytes in base64."""

    signed: Signing
    signature: _Signature

    def is_by(self, key: PublicKey) -> bool:
        """Whether this is that key's signature, for any bundle; the key's ID alone proves nothing."""
        if key.key_id != self.signed.key_id:
            return False
        return key.verifies(base64.b64decode(self.signature), self.signed.signed_bytes())

    def in_words(self) -> str:
        """Who signed, and when."""
        comment = f" ({self.signed.comment})" if self.signed.comment else ""
        return f"{self.signed.signer}, {self.signed.date}, key {self.signed.key_id}{comment}"


class _SignatureFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    signatures: Annotated[list[BundleSignature], msgspec.Meta(max_length=MOST_SIGNATURES)]


class _SignatureVersion(msgspec.Struct):
    format_version: int


class _SignedVersion(msgspec.Struct):
    signed: _SignatureVersion


class _SignatureVersions(msgspec.Struct):
    signatures: list[_SignedVersion]


@dataclass(frozen=True)
class TrustedKeys:
    """The keys whose bundles are opened: a signature by one of them is enough."""

    keys: tuple[PublicKey, ...]

    @classmethod
    def read(cls, paths: Sequence[str | Path]) -> TrustedKeys:
        """Read public keys from files.

        Raises:
            UsageError: a file is not a public key, or `cryptography`, which checks signatures, is not installed.
        """
        require_cryptography()
        return cls(tuple(read_public_key(Path(path)) for path in paths))

    def in_words(self) -> str:
        """The IDs of the keys, separated by commas."""
        return ", ".join(key.key_id for key in self.keys) or "none"


def find_trusted(given: Sequence[str | Path] | None = None) -> TrustedKeys | None:
    """Whose signature is required: the keys given, else those of $CMDIAD_REQUIRE_SIGNATURE; None: nobody's.

    The variable is a list of paths like $PATH: separated by colons, on Windows by semicolons.

    Raises:
        UsageError: see `TrustedKeys.read`; or the variable is set but names no key, for example because its value comes
            from another variable that is not set.
    """
    listed = os.environ.get(TRUST_VARIABLE)
    paths = given or [path for path in (listed or "").split(os.pathsep) if path]
    if listed is not None and not paths:
        raise UsageError(f"${TRUST_VARIABLE} is {listed!r}, which names no key: give paths of .pub files, or unset it")
    return TrustedKeys.read(paths) if paths else None


def manifest_digest(manifest: bytes) -> str:
    """What is signed: SHA-256 of the manifest's bytes, in hex."""
    return hashlib.sha256(manifest).hexdigest()


def sign(key: SigningKey, manifest: bytes, signer: str, date: str, comment: str = "") -> BundleSignature:
    """Sign a manifest's bytes.

    Raises:
        UsageError: signer, date or comment is not one short line of text.
    """
    said = {"signer": signer, "date": date, "comment": comment}
    values = {"key_id": key.public.key_id, "manifest_digest": manifest_digest(manifest), **said}
    try:
        signed = msgspec.convert(values, Signing)
        message = signed.signed_bytes()
    except (msgspec.ValidationError, UnicodeEncodeError) as cause:
        raise UsageError(f"signer, date and comment are one line of at most 200 characters each ({cause})") from cause
    return BundleSignature(signed=signed, signature=base64.b64encode(key.sign(message)).decode())


def encode_signatures(signatures: Sequence[BundleSignature]) -> bytes:
    """The content of signature.json, in the order of the keys' IDs; equal signatures give equal bytes."""
    ordered = sorted(signatures, key=lambda entry: (entry.signed.key_id, entry.signature))
    return encode_json_file(_SignatureFile(ordered))


def decode_signatures(raw: bytes, where: str) -> tuple[BundleSignature, ...]:
    """Read signature.json; nothing is verified here.

    Raises:
        BundleError: it is too large, does not hold signatures, or is of a newer version.
    """
    todo = "sign the bundle again, or get it again"
    if len(raw) > MAX_BYTES:
        raise BundleError(f"{where}: {NAME} has more than {MAX_BYTES} bytes, too many for signatures: {todo}")
    try:
        versions = msgspec.json.decode(raw, type=_SignatureVersions)
        newest = max((entry.signed.format_version for entry in versions.signatures), default=FORMAT_VERSION)
        if newest > FORMAT_VERSION:
            raise BundleError(f"{where}: {NAME} has format version {newest}, newer than those read here: update cmdiad")
        return tuple(msgspec.json.decode(raw, type=_SignatureFile).signatures)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as cause:
        raise BundleError(f"{where}: {NAME} does not hold signatures ({cause}): {todo}") from cause


def read_signatures(store: Store, where: str) -> tuple[BundleSignature, ...]:
    """The signatures in a bundle, none of them verified; empty if it is not signed.

    Raises:
        BundleError: signature.json cannot be read.
    """
    try:
        size = store.size(NAME)
        with store.open(NAME) as stream:
            raw = stream.read(min(size, MAX_BYTES + 1))
    except KeyError:
        return ()
    except OSError as cause:
        raise BundleError(
            f"{where}: {NAME} cannot be read: {cause.strerror or cause}: check its permissions"
        ) from cause
    return decode_signatures(raw, where)


def require_signature(
    signatures: Sequence[BundleSignature], manifest: bytes, trusted: TrustedKeys, where: str
) -> BundleSignature:
    """The first of a bundle's signatures that a trusted key made of this very manifest.

    Args:
        signatures: as read.
        manifest: the bytes of manifest.json, not used for anything yet.
        trusted: a signature by one of these keys is enough.
        where: the bundle, for the message.

    Raises:
        BundleError: there is no such signature; the message says whose signatures there are, what is wrong with them,
            and who is trusted.
    """
    digest = manifest_digest(manifest)
    keys = {key.key_id: key for key in trusted.keys}
    problems = []
    for entry in signatures:
        key_id = entry.signed.key_id
        if key_id not in keys:
            problems.append(f"{key_id} (not trusted here)")
        elif not entry.is_by(keys[key_id]):
            problems.append(f"{key_id} (not made by this key, or changed since)")
        elif entry.signed.manifest_digest != digest:
            problems.append(f"{key_id} (of another bundle, or of this one before it was changed)")
        else:
            return entry
    signed = f"is signed by {', '.join(problems)}" if problems else "is not signed"
    raise BundleError(
        f"{where}: {signed}, and a signature by one of these keys is required: {trusted.in_words()}: do not use it, or "
        "have it signed with `cmdiad sign`"
    )
