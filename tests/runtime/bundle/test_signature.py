"""What signature.json may hold, and what is refused before anything is believed; no cryptography is needed here."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest
from cmdiad.runtime.bundle import signature as signature_module
from cmdiad.runtime.bundle.key_files import PublicKey, read_public_key
from cmdiad.runtime.bundle.reading import is_signed, manifest_bytes, open_bundle
from cmdiad.runtime.bundle.signature import (
    MAX_BYTES,
    NAME,
    BundleSignature,
    TrustedKeys,
    decode_signatures,
    encode_signatures,
    find_trusted,
    manifest_digest,
    require_signature,
)
from cmdiad.runtime.bundle.writing import write_bundle, write_signed
from cmdiad.runtime.errors import BundleError, UsageError
from cmdiad.runtime.files.json_encoding import encode_json

from .manifests import least_manifest

KEY = PublicKey(bytes(range(32)))
VALUES = {
    "format_version": 1,
    "algorithm": "ed25519",
    "key_id": KEY.key_id,
    "manifest_digest": "0" * 64,
    "signer": "plant 3",
    "comment": "",
    "date": "2026-11-28",
}


def entry(**more: Any) -> dict[str, Any]:
    return {"signed": {**VALUES, **more}, "signature": base64.b64encode(bytes(64)).decode()}


def encoded(*entries: dict[str, Any]) -> bytes:
    return encode_json({"signatures": list(entries)})


def test_what_is_written_is_read_and_equal_signatures_give_equal_bytes() -> None:
    first, second = decode_signatures(encoded(entry(), entry(key_id="f" * 16)), "b")
    assert first.signed.signer == "plant 3"
    raw = encode_signatures([second, first])
    assert raw == encode_signatures([first, second])
    assert set(decode_signatures(raw, "b")) == {first, second}


def test_the_signed_text_is_one_line_a_field_and_holds_all_of_them() -> None:
    (one,) = decode_signatures(encoded(entry(comment="für Linie 7")), "b")
    assert one.signed.signed_bytes().decode().splitlines() == [
        "cmdiad bundle signature",
        "format_version 1",
        "algorithm ed25519",
        f"key_id {KEY.key_id}",
        f"manifest_digest {'0' * 64}",
        "signer plant 3",
        "comment für Linie 7",
        "date 2026-11-28",
    ]
    # Whatever a later version adds to what is said must be signed too.
    assert len(one.signed.__struct_fields__) == 7 and BundleSignature.__struct_fields__ == ("signed", "signature")


@pytest.mark.parametrize(
    "change",
    [
        {"key_id": "0"},
        {"key_id": "0" * 16 + "\n"},
        {"key_id": "G" * 16},
        {"manifest_digest": "0" * 63},
        {"algorithm": "none"},
        {"signer": "plant\ndate 2020-01-01"},
        {"signer": "\x1b[2J"},
        {"signer": "\u202eplant"},
        {"comment": "x" * 201},
        {"date": 20261128},
        {"unsigned": "word"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_field_that_is_none_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match=r"b: signature\.json"):
        decode_signatures(encoded(entry(**change)), "b")


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{}", id="no list"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b"\xff\xfe\x00", id="no text"),
        pytest.param(encoded(entry())[:-20], id="truncated"),
        pytest.param(b'{"signatures": [{"signed": {"format_version": 1}}]}', id="incomplete"),
        pytest.param(encode_json({"signatures": [], "more": 1}), id="more"),
        pytest.param(encoded(entry() | {"signature": "short"}), id="short signature"),
        pytest.param(encoded(*(entry() for _ in range(17))), id="too many"),
        pytest.param(b" " * (MAX_BYTES + 1), id="huge"),
    ],
)
def test_garbage_is_refused_by_its_name(raw: bytes) -> None:
    with pytest.raises(BundleError, match=r"b: signature\.json"):
        decode_signatures(raw, "b")


def test_a_newer_version_is_refused_in_plain_words() -> None:
    with pytest.raises(BundleError, match="format version 2, newer"):
        decode_signatures(encoded(entry(format_version=2, quantum="safe")), "b")


@pytest.mark.parametrize("name", ["bundle", "bundle.cmdiad"])
def test_a_huge_signature_file_is_not_read_whole(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / name
    write_bundle(path, least_manifest(), {"x": b"1"})
    bundle = open_bundle(path)
    write_signed(bundle, manifest_bytes(path, bundle.store), b" " * (1 << 20))
    asked: list[int] = []
    decode = signature_module.decode_signatures
    monkeypatch.setattr(
        signature_module, "decode_signatures", lambda raw, where: asked.append(len(raw)) or decode(raw, where)
    )
    with pytest.raises(BundleError, match=f"more than {MAX_BYTES} bytes"):
        open_bundle(path, TrustedKeys((KEY,)))
    assert asked == [MAX_BYTES + 1]
    assert is_signed(path) and open_bundle(path).signature_in_words().startswith("cannot be read: signature.json")


def test_a_link_that_leads_outside_is_no_signature(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle", least_manifest(), {"x": b"1"})
    (tmp_path / "outside.json").write_bytes(encoded(entry()))
    (tmp_path / "bundle" / NAME).symlink_to(tmp_path / "outside.json")
    with pytest.raises(BundleError, match="link that leads outside"):
        open_bundle(tmp_path / "bundle", TrustedKeys((KEY,)))


def test_an_unsigned_bundle_is_refused_with_who_is_trusted_and_opened_where_nobody_asks(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    write_bundle(path, least_manifest(), {"x": b"1"})
    assert not is_signed(path) and not is_signed(tmp_path / "nowhere")
    assert open_bundle(path).signature_in_words() == "none"
    with pytest.raises(BundleError, match=f"is not signed, .*required: {KEY.key_id}") as refusal:
        open_bundle(path, TrustedKeys((KEY,)))
    assert refusal.value.exit_code == 4
    with pytest.raises(BundleError, match="required: none"):
        open_bundle(path, TrustedKeys(()))


def test_a_signature_by_another_key_names_both() -> None:
    with pytest.raises(BundleError, match=rf"signed by {'f' * 16} \(not trusted here\).*required: {KEY.key_id}"):
        require_signature(
            decode_signatures(encoded(entry(key_id="f" * 16)), "b"), b"manifest", TrustedKeys((KEY,)), "b"
        )


def test_a_manifest_is_not_decoded_before_its_signature_is_checked(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle", least_manifest(), {"x": b"1"})
    (tmp_path / "bundle" / "manifest.json").write_bytes(b"{")
    with pytest.raises(BundleError, match="is not signed"):
        open_bundle(tmp_path / "bundle", TrustedKeys((KEY,)))


def test_a_public_key_comes_back_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "k.pub").write_bytes(KEY.pem())
    assert read_public_key(tmp_path / "k.pub") == KEY and len(KEY.key_id) == 16


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "is not an Ed25519 public key", id="empty"),
        pytest.param(KEY.pem()[:-30], "is not an Ed25519 public key", id="truncated"),
        pytest.param(KEY.pem().replace(b"MCow", b"MCox"), "is not an Ed25519 public key", id="other kind"),
        pytest.param(b"-----BEGIN PRIVATE KEY-----\n", "is a private key", id="private"),
    ],
)
def test_what_is_no_public_key_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "k.pub").write_bytes(content)
    with pytest.raises(UsageError, match=words):
        read_public_key(tmp_path / "k.pub")


def test_a_key_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        read_public_key(tmp_path / "nowhere.pub")


def test_keys_come_from_the_option_else_from_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signature_module, "require_cryptography", lambda: None)
    monkeypatch.delenv("CMDIAD_REQUIRE_SIGNATURE", raising=False)
    others = [PublicKey(bytes([number]) * 32) for number in (1, 2)]
    for number, key in enumerate((KEY, *others)):
        (tmp_path / f"{number}.pub").write_bytes(key.pem())
    assert find_trusted() is None and find_trusted([]) is None
    monkeypatch.setenv("CMDIAD_REQUIRE_SIGNATURE", os.pathsep.join(str(tmp_path / f"{n}.pub") for n in (1, 2)))
    assert find_trusted() == TrustedKeys(tuple(others))
    assert find_trusted([tmp_path / "0.pub"]) == TrustedKeys((KEY,))
    for without_a_key in (os.pathsep, ""):
        monkeypatch.setenv("CMDIAD_REQUIRE_SIGNATURE", without_a_key)
        with pytest.raises(UsageError, match="names no key"):
            find_trusted()
        assert find_trusted([tmp_path / "0.pub"]) == TrustedKeys((KEY,))


def test_without_cryptography_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "k.pub").write_bytes(KEY.pem())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'cmdiad\[sign\]'"):
        find_trusted([tmp_path / "k.pub"])


def test_the_digest_is_of_the_manifests_bytes() -> None:
    assert manifest_digest(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert json.loads(encode_signatures([])) == {"signatures": []}
