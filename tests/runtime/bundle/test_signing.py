"""Signing and checking, end to end: what was signed opens, and nothing else does."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from cmdiad.runtime.bundle.key_files import SigningKey, key_of, new_key, read_public_key, read_signing_key
from cmdiad.runtime.bundle.reading import Bundle, is_signed, open_bundle
from cmdiad.runtime.bundle.signature import MOST_SIGNATURES, NAME, TrustedKeys
from cmdiad.runtime.bundle.signing import SignedBundle, SigningNote, sign_bundle
from cmdiad.runtime.bundle.writing import rewrite_bundle, write_bundle
from cmdiad.runtime.errors import BundleError, UsageError

from .manifests import least_manifest

pytest.importorskip("cryptography")

CONTENTS = {"bank_main.npy": b"rows" * 1000, "golden/scan.bin": b"abc"}
NOTE = SigningNote(date="2026-11-28", comment="first shift")
FORMS = ["bundle", "bundle.cmdiad"]


def no_passphrase(path: Path) -> bytes:
    raise AssertionError(f"{path} is not encrypted, and nobody should be asked")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SigningKey]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: read_signing_key(new_key(name, folder)[0], no_passphrase) for name in ("old", "new", "stranger")}


def trusting(*keys: SigningKey) -> TrustedKeys:
    return TrustedKeys(tuple(key.public for key in keys))


@pytest.fixture(params=FORMS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    written: Path = tmp_path / request.param
    write_bundle(written, least_manifest(), CONTENTS)
    return written


def signers(signed: SignedBundle) -> set[str]:
    return {entry.signed.key_id for entry in signed.signatures}


def test_a_signed_bundle_opens_and_says_who_signed_it(path: Path, keys: dict[str, SigningKey]) -> None:
    before = open_bundle(path).manifest
    sign_bundle(path, [keys["old"]], NOTE)
    bundle = open_bundle(path, trusting(keys["stranger"], keys["old"]))
    assert bundle.manifest == before and bundle.read("golden/scan.bin") == b"abc"
    assert bundle.signature is not None and bundle.signature.signed.signer == "old"
    assert bundle.signature_in_words() == f"old, 2026-11-28, key {keys['old'].public.key_id} (first shift): checked"
    assert "not checked" in open_bundle(path).signature_in_words() and is_signed(path)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_signing_again_gives_the_same_bytes(path: Path, keys: dict[str, SigningKey]) -> None:
    def whole() -> dict[str, bytes]:
        files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
        return {str(file): file.read_bytes() for file in files}

    sign_bundle(path, [keys["old"], keys["new"]], NOTE)
    first = whole()
    sign_bundle(path, [keys["new"], keys["old"]], NOTE)
    assert whole() == first


def test_a_key_that_is_not_trusted_is_refused_by_its_id(path: Path, keys: dict[str, SigningKey]) -> None:
    sign_bundle(path, [keys["stranger"]], NOTE)
    with pytest.raises(BundleError) as refusal:
        open_bundle(path, trusting(keys["old"]))
    assert keys["stranger"].public.key_id in str(refusal.value) and keys["old"].public.key_id in str(refusal.value)


def test_rotation_both_sign_then_the_old_signature_is_dropped(path: Path, keys: dict[str, SigningKey]) -> None:
    old, new = keys["old"], keys["new"]
    sign_bundle(path, [old], NOTE)
    assert signers(sign_bundle(path, [new], NOTE)) == {old.public.key_id, new.public.key_id}
    for trusted in (trusting(old), trusting(new), trusting(new, old)):
        assert open_bundle(path, trusted).signature is not None
    signed = sign_bundle(path, [new], NOTE, alone=True)
    assert signers(signed) == {new.public.key_id} and old.public.key_id in signed.dropped[0]
    assert open_bundle(path, trusting(new)).signature is not None
    with pytest.raises(BundleError, match="not trusted here"):
        open_bundle(path, trusting(old))


def test_the_signature_of_another_bundle_is_refused(tmp_path: Path, keys: dict[str, SigningKey]) -> None:
    for product in ("flange", "gland"):
        write_bundle(tmp_path / product, least_manifest(product), CONTENTS)
    sign_bundle(tmp_path / "flange", [keys["old"]], NOTE)
    shutil.copy(tmp_path / "flange" / NAME, tmp_path / "gland" / NAME)
    with pytest.raises(BundleError, match="of another bundle, or of this one before it was changed"):
        open_bundle(tmp_path / "gland", trusting(keys["old"]))
    signed = sign_bundle(tmp_path / "gland", [keys["new"]], NOTE)
    assert signers(signed) == {keys["new"].public.key_id} and "another state" in signed.dropped[0]


def test_a_changed_manifest_is_refused_though_its_own_digests_are_right(
    tmp_path: Path, keys: dict[str, SigningKey]
) -> None:
    path, other = tmp_path / "bundle", tmp_path / "other"
    write_bundle(path, least_manifest(), CONTENTS)
    sign_bundle(path, [keys["old"]], NOTE)
    write_bundle(other, least_manifest(), {**CONTENTS, "golden/scan.bin": b"xyz"})
    for name in ("manifest.json", "golden/scan.bin"):
        shutil.copy(other / name, path / name)
    open_bundle(path)
    with pytest.raises(BundleError, match="before it was changed"):
        open_bundle(path, trusting(keys["old"]))


def test_a_changed_file_is_refused_by_its_name(tmp_path: Path, keys: dict[str, SigningKey]) -> None:
    write_bundle(tmp_path / "bundle", least_manifest(), CONTENTS)
    sign_bundle(tmp_path / "bundle", [keys["old"]], NOTE)
    (tmp_path / "bundle" / "golden" / "scan.bin").write_bytes(b"abd")
    with pytest.raises(BundleError, match=r"golden/scan\.bin was changed"):
        open_bundle(tmp_path / "bundle", trusting(keys["old"]))


@pytest.mark.parametrize("field", ["signer", "comment", "date", "manifest_digest", "signature"])
def test_nothing_that_a_signature_says_can_be_changed(tmp_path: Path, keys: dict[str, SigningKey], field: str) -> None:
    path = tmp_path / "bundle"
    write_bundle(path, least_manifest(), CONTENTS)
    sign_bundle(path, [keys["old"]], NOTE)
    content = json.loads((path / NAME).read_bytes())
    (entry,) = content["signatures"]
    holder = entry if field == "signature" else entry["signed"]
    first = holder[field][0]
    holder[field] = ("0" if first != "0" else "1") + holder[field][1:]
    (path / NAME).write_text(json.dumps(content))
    with pytest.raises(BundleError, match="not made by this key, or changed since"):
        open_bundle(path, trusting(keys["old"]))


def test_another_s_signature_under_a_trusted_id_is_refused(tmp_path: Path, keys: dict[str, SigningKey]) -> None:
    path = tmp_path / "bundle"
    write_bundle(path, least_manifest(), CONTENTS)
    sign_bundle(path, [keys["stranger"]], NOTE)
    raw = (path / NAME).read_text()
    (path / NAME).write_text(raw.replace(keys["stranger"].public.key_id, keys["old"].public.key_id))
    with pytest.raises(BundleError, match="not made by this key"):
        open_bundle(path, trusting(keys["old"], keys["stranger"]))


def test_every_changed_byte_of_a_signed_archive_is_refused(tmp_path: Path, keys: dict[str, SigningKey]) -> None:
    path = tmp_path / "b.cmdiad"
    write_bundle(path, least_manifest(), {"x": b"1"})
    sign_bundle(path, [keys["old"]], NOTE)
    raw = path.read_bytes()
    begin = raw.index(b'"signatures"')
    for place in range(begin, begin + 400, 7):
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        with pytest.raises(BundleError):
            open_bundle(path, trusting(keys["old"]))
    path.write_bytes(raw)
    assert open_bundle(path, trusting(keys["old"])).signature is not None


def test_what_rewrites_a_bundle_ends_its_signatures(path: Path, keys: dict[str, SigningKey]) -> None:
    sign_bundle(path, [keys["old"]], NOTE)
    bundle: Bundle = open_bundle(path)
    rewrite_bundle(bundle, path, least_manifest("other"), {})
    assert not is_signed(path)
    with pytest.raises(BundleError, match="is not signed"):
        open_bundle(path, trusting(keys["old"]))


def test_a_damaged_bundle_is_not_signed(tmp_path: Path, keys: dict[str, SigningKey]) -> None:
    path = tmp_path / "bundle"
    write_bundle(path, least_manifest(), CONTENTS)
    (path / "bank_main.npy").write_bytes(b"other")
    with pytest.raises(BundleError, match=r"bank_main\.npy was changed"):
        sign_bundle(path, [keys["old"]], NOTE)
    assert not is_signed(path)


def test_a_signature_file_that_is_garbage_is_replaced_and_said(tmp_path: Path, keys: dict[str, SigningKey]) -> None:
    path = tmp_path / "bundle"
    write_bundle(path, least_manifest(), CONTENTS)
    (path / NAME).write_bytes(b"\x00garbage")
    with pytest.raises(BundleError, match=r"signature\.json does not hold signatures"):
        open_bundle(path, trusting(keys["old"]))
    assert "could not be read" in sign_bundle(path, [keys["old"]], NOTE).dropped[0]
    assert open_bundle(path, trusting(keys["old"])).signature is not None


def test_more_signatures_than_are_read_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    write_bundle(path, least_manifest(), CONTENTS)
    made = [new_key(f"k{number}", tmp_path / "keys") for number in range(MOST_SIGNATURES + 1)]
    many = [read_signing_key(private, no_passphrase) for private, _, _ in made]
    with pytest.raises(UsageError, match="17 signatures"):
        sign_bundle(path, many, NOTE)
    sign_bundle(path, many[1:], NOTE)
    assert open_bundle(path, trusting(many[-1])).signature is not None


@pytest.mark.parametrize("words", [{"signer": "a\nb"}, {"comment": "x" * 201}, {"signer": "\udcfc"}])
def test_a_note_that_is_not_a_short_line_is_refused(
    tmp_path: Path, keys: dict[str, SigningKey], words: dict[str, str]
) -> None:
    write_bundle(tmp_path / "bundle", least_manifest(), CONTENTS)
    with pytest.raises(UsageError, match="one line"):
        sign_bundle(tmp_path / "bundle", [keys["old"]], SigningNote(date="2026-11-28", **words))


def test_a_new_key_is_for_its_owner_alone_and_never_replaces_one(tmp_path: Path) -> None:
    private, public, key = new_key("plant", tmp_path / "keys")
    assert [path.name for path in (private, public)] == ["plant.key", "plant.pub"]
    if os.name == "posix":
        assert private.stat().st_mode & 0o777 == 0o600
    assert private.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert key_of(private, no_passphrase) == key_of(public, no_passphrase) == read_public_key(public) == key
    with pytest.raises(UsageError, match="already exists"):
        new_key("plant", tmp_path / "keys")
    for name in ("", "..", "a/b", "../plant"):
        with pytest.raises(UsageError, match="key name"):
            new_key(name, tmp_path)


def test_our_public_key_file_is_the_libraries_own(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    _, public, key = new_key("plant", tmp_path)
    theirs = load_pem_public_key(public.read_bytes())
    assert theirs.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) == key.pem()
    assert theirs.public_bytes(Encoding.Raw, PublicFormat.Raw) == key.raw


def test_an_encrypted_key_wants_its_passphrase(tmp_path: Path) -> None:
    private, _, key = new_key("plant", tmp_path, b"correct horse")
    assert b"ENCRYPTED" in private.read_bytes()
    assert read_signing_key(private, lambda path: b"correct horse").public == key
    with pytest.raises(UsageError, match="passphrase is wrong"):
        read_signing_key(private, lambda path: b"battery staple")
    with pytest.raises(UsageError, match="passphrase is empty"):
        new_key("other", tmp_path, b"")


@pytest.mark.skipif(os.name != "posix", reason="rights are those of POSIX")
def test_a_private_key_that_others_can_use_is_warned_of(tmp_path: Path) -> None:
    private, _, _ = new_key("plant", tmp_path)
    private.chmod(0o644)
    with pytest.warns(UserWarning, match="chmod 600"):
        read_signing_key(private, no_passphrase)


def test_a_public_or_foreign_key_signs_nothing(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private, public, _ = new_key("plant", tmp_path)
    with pytest.raises(UsageError, match="is not a private key"):
        read_signing_key(public, no_passphrase)
    private.write_bytes(private.read_bytes()[:60])
    with pytest.raises(UsageError, match="is damaged"):
        read_signing_key(private, no_passphrase)
    other = X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    private.write_bytes(other)
    with pytest.raises(UsageError, match="another kind"):
        read_signing_key(private, no_passphrase)
