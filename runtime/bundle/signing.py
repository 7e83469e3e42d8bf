"""Signing a bundle: by one key or several, beside the signatures that are there."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from ..errors import BundleError, UsageError
from . import manifest as manifest_format
from .key_files import SigningKey
from .reading import Bundle, manifest_bytes, open_bundle
from .signature import (
    MOST_SIGNATURES,
    BundleSignature,
    encode_signatures,
    manifest_digest,
    read_signatures,
    sign,
)
from .writing import write_signed


@dataclass(frozen=True)
class SigningNote:
    """What a signature says besides; all of it is signed.

    Attributes:
        date: when.
        signer: who; None: the key's name.
        comment: what else.
    """

    date: str
    signer: str | None = None
    comment: str = ""


@dataclass(frozen=True)
class SignedBundle:
    """What a bundle's signatures are now.

    Attributes:
        signatures: all of them, those that were there included.
        dropped: what was there and is not any more, a phrase each.
    """

    signatures: tuple[BundleSignature, ...]
    dropped: tuple[str, ...]


def sign_bundle(path: Path, keys: Sequence[SigningKey], note: SigningNote, alone: bool = False) -> SignedBundle:
    """Sign a bundle where it lies, after every byte of it was verified.

    Signatures by other keys stay if they are of this very bundle; those by the same keys are replaced.

    Args:
        path: a folder, to which signature.json is added, or a .cmdiad file, which is written anew.
        keys: one signature each.
        note: what they say.
        alone: drop the signatures by all other keys.

    Raises:
        BundleError: the bundle is not whole.
        UsageError: there are too many signatures, or no key.
        OutputError: it cannot be written.
    """
    if not keys:
        raise UsageError("no key to sign with: give --key NAME.key")
    bundle = open_bundle(path)
    raw = manifest_bytes(path, bundle.store)
    if manifest_format.decode(raw, str(path)).digest != bundle.manifest.digest:
        raise BundleError(f"{path}: was changed since it was opened: start again")
    new = {key.public.key_id: sign(key, raw, note.signer or key.name, note.date, note.comment) for key in keys}
    kept, dropped = _others(bundle, manifest_digest(raw), set(new), alone)
    signatures = (*kept, *new.values())
    if len(signatures) > MOST_SIGNATURES:
        raise UsageError(f"{path}: {len(signatures)} signatures are more than the {MOST_SIGNATURES} a bundle may have")
    write_signed(bundle, raw, encode_signatures(signatures))
    return SignedBundle(signatures, tuple(dropped))


def _others(bundle: Bundle, digest: str, new: AbstractSet[str], alone: bool) -> tuple[list[BundleSignature], list[str]]:
    """Of the signatures that are there and not made anew: those that stay, and what is said of the others."""
    kept: list[BundleSignature] = []
    dropped: list[str] = []
    try:
        present = read_signatures(bundle.store, str(bundle.path))
    except BundleError:
        return kept, ["a signature file that could not be read"]
    for entry in present:
        if entry.signed.key_id in new:
            continue
        if alone:
            dropped.append(f"the signature by key {entry.signed.key_id}")
        elif entry.signed.manifest_digest != digest:
            dropped.append(f"the signature by key {entry.signed.key_id}, which belongs to another state of the bundle")
        else:
            kept.append(entry)
    return kept, dropped
