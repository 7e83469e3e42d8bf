"""A whole line by its file: whom it trusts, what it says of itself, and what it leaves when it ends."""

from __future__ import annotations

import shutil
import socket
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cmdiad.runtime.errors import BundleError, OutputError, UsageError
from cmdiad.runtime.files.audit import AUDIT_FILE, verify_audit
from cmdiad.runtime.service import production_line
from cmdiad.runtime.service.arrival import Arrival, FileContent
from cmdiad.runtime.service.line_file import (
    FolderTable,
    LineFile,
    LineTable,
    OpcuaTable,
    ProductTable,
    WebhookTable,
)
from cmdiad.runtime.service.production_line import ProductionLine
from cmdiad.runtime.service.sources.folder_hold import LOCK

WAIT_SECONDS = 60.0


def file_of(bundle: Path, out: str = "out", **line: object) -> LineFile:
    return LineFile(
        line=LineTable(out=out, heatmaps="none", **line), product=[ProductTable(name="part", bundle=str(bundle))]
    )


def test_a_line_inspects_with_what_the_plant_signed_and_with_nothing_else(
    calibrated_bundle: Path, synth_data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("cryptography")
    from cmdiad.runtime.bundle.key_files import new_key, read_signing_key
    from cmdiad.runtime.bundle.signing import SigningNote, sign_bundle

    private, public, _ = new_key("plant", tmp_path)
    shutil.copytree(calibrated_bundle, tmp_path / "bundle")
    file = file_of(tmp_path / "bundle", require_signature=[public.name])
    with pytest.raises(BundleError, match="signature"):
        ProductionLine(file, tmp_path)
    sign_bundle(tmp_path / "bundle", [read_signing_key(private, lambda path: b"")], SigningNote(date="2026-11-28"))
    line = ProductionLine(file, tmp_path)
    running = threading.Thread(target=line.run)
    running.start()
    scan = next((synth_data / "gland" / "test").glob("good/xyz/*.tiff")).read_bytes()
    answered = line.station.submit(Arrival("http", "a", content=FileContent(scan))).result(WAIT_SECONDS)
    # A bundle that nobody signed comes to its place: the one at work stays.
    shutil.copytree(calibrated_bundle, tmp_path / "stranger")
    (tmp_path / "stranger" / "manifest.json").replace(tmp_path / "bundle" / "manifest.json")
    (tmp_path / "bundle" / "signature.json").unlink()
    deadline = time.monotonic() + WAIT_SECONDS
    while not line.status()["problems"] and time.monotonic() < deadline:
        time.sleep(0.05)
    status = line.status()
    line.end()
    running.join(WAIT_SECONDS)
    assert answered.record.verdict in ("good", "defect")
    assert "keeps inspecting" in status["problems"][0]
    assert status["parts"]["total"] == 1 and status["state"] == "ready"
    assert {lamp["measure"] for lamp in status["health"]} >= {"score", "part_diameter_m", "plane_rms_m"}


def put_in_place(folder: Path) -> None:
    """Another bundle, the same with a note, takes the place of `bundle`."""
    from cmdiad.runtime.bundle.manifest import encode
    from cmdiad.runtime.bundle.reading import open_bundle

    before = open_bundle(folder / "bundle").manifest
    changed = msgspec.structs.replace(before, provenance={**before.provenance, "note": "again"})
    (folder / "new").write_bytes(encode(changed))
    (folder / "new").replace(folder / "bundle" / "manifest.json")


def test_a_new_bundle_takes_over_and_the_audit_trail_says_so(calibrated_bundle: Path, tmp_path: Path) -> None:
    from cmdiad.runtime.bundle.reading import open_bundle

    shutil.copytree(calibrated_bundle, tmp_path / "bundle")
    line = ProductionLine(file_of(tmp_path / "bundle"), tmp_path)
    before = open_bundle(tmp_path / "bundle").manifest
    put_in_place(tmp_path)
    line.products.look()
    (entry,) = verify_audit(tmp_path / "out" / AUDIT_FILE)
    after = open_bundle(tmp_path / "bundle").manifest
    line.close()
    assert (entry.action, entry.bundle_before, entry.bundle_after) == ("swap", before.digest, after.digest)
    assert entry.details["product"] == "part"


def test_a_line_that_waits_for_parts_lets_a_replaced_bundle_go(
    calibrated_bundle: Path, synth_data: Path, tmp_path: Path
) -> None:
    shutil.copytree(calibrated_bundle, tmp_path / "bundle")
    line = ProductionLine(file_of(tmp_path / "bundle"), tmp_path)
    running = threading.Thread(target=line.run)
    running.start()
    scan = next((synth_data / "gland" / "test").glob("good/xyz/*.tiff")).read_bytes()
    answered = line.station.submit(Arrival("http", "a", content=FileContent(scan))).result(WAIT_SECONDS)
    product = line.products.named("part")
    assert product.loaded is not None
    old = weakref.ref(product.loaded.inspector)
    put_in_place(tmp_path)
    deadline = time.monotonic() + WAIT_SECONDS
    while old() is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    is_gone = old() is None
    line.end()
    running.join(WAIT_SECONDS)
    assert answered.record.verdict in ("good", "defect")
    assert product.swaps == 1 and is_gone


def test_a_line_at_work_gives_freed_memory_back_to_the_system(
    calibrated_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_back = threading.Event()
    monkeypatch.setattr(production_line, "return_freed_memory", given_back.set)
    line = ProductionLine(file_of(calibrated_bundle), tmp_path)
    running = threading.Thread(target=line.run)
    running.start()
    is_given_back = given_back.wait(WAIT_SECONDS)
    line.end()
    running.join(WAIT_SECONDS)
    assert is_given_back


def test_what_ends_a_line_stands_in_its_log(
    calibrated_bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    line = ProductionLine(file_of(calibrated_bundle), tmp_path)
    line.station.stop(OutputError("out/journal.sqlite: the disk is full"))
    with pytest.raises(OutputError):
        line.run()
    assert "the line stops: out/journal.sqlite: the disk is full" in caplog.text


def test_a_line_that_cannot_open_a_bundle_lets_the_journal_go(calibrated_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        ProductionLine(file_of(tmp_path / "none"), tmp_path)
    ProductionLine(file_of(calibrated_bundle), tmp_path).close()


def test_a_folder_source_has_the_suffixes_of_what_its_product_measures(calibrated_bundle: Path, tmp_path: Path) -> None:
    file = LineFile(
        line=LineTable(out="out"),
        product=[ProductTable(name="part", bundle=str(calibrated_bundle))],
        folder=[FolderTable(path="in")],
    )
    line = ProductionLine(file, tmp_path)
    (source,) = line.sources
    line.close()
    assert ".tiff" in source.settings.suffixes and ".png" not in source.settings.suffixes  # type: ignore[attr-defined]
    assert str(tmp_path / "out") in source.settings.own  # type: ignore[attr-defined]
    assert not (tmp_path / "in").exists(), "nothing is made before the line runs"


def until(happens: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_line_whose_hot_folder_is_gone_is_not_ready_and_says_so(calibrated_bundle: Path, tmp_path: Path) -> None:
    file = msgspec.structs.replace(
        file_of(calibrated_bundle), folder=[FolderTable(path="in", name="scans", poll_seconds=0.02)]
    )
    line = ProductionLine(file, tmp_path)
    running = threading.Thread(target=line.run)
    running.start()
    until((tmp_path / "in").is_dir)
    was_ready = line.status()["not_ready"]
    (tmp_path / "in").rename(tmp_path / "elsewhere")
    until(line.not_ready)
    gone = line.status()
    (tmp_path / "elsewhere").rename(tmp_path / "in")
    until(lambda: not line.not_ready())
    line.end()
    running.join(WAIT_SECONDS)
    assert was_ready == [] and gone["not_ready"] == ["source scans"]
    assert "cannot be listed" in gone["sources"][0]["problem"] and "cannot be listed" in gone["problems"][0]


def test_a_line_whose_opcua_server_cannot_listen_is_not_ready(calibrated_bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("asyncua")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = OpcuaTable(anonymous=True, port=taken.getsockname()[1])
        line = ProductionLine(msgspec.structs.replace(file_of(calibrated_bundle), opcua=[server]), tmp_path)
        running = threading.Thread(target=line.run)
        running.start()
        until(line.problems)
        not_ready = line.not_ready()
        line.end()
        running.join(WAIT_SECONDS)
    assert not_ready == ["sink opcua"]


def test_a_webhook_that_is_away_does_not_keep_parts_from_coming(calibrated_bundle: Path, tmp_path: Path) -> None:
    away = WebhookTable(url="http://127.0.0.1:1/")
    line = ProductionLine(msgspec.structs.replace(file_of(calibrated_bundle), webhook=[away]), tmp_path)
    line.close()
    assert line.deliveries and line.not_ready() == []


def test_a_second_line_on_a_hot_folder_is_refused_at_its_start(calibrated_bundle: Path, tmp_path: Path) -> None:
    folders = [FolderTable(path="in", name=name) for name in ("a", "b")]
    first, second = (
        ProductionLine(msgspec.structs.replace(file_of(calibrated_bundle, out=out), folder=folders), tmp_path)
        for out in ("one", "two")
    )
    running = threading.Thread(target=first.run)
    running.start()
    until((tmp_path / "in" / LOCK).exists)
    with pytest.raises(UsageError, match="works in this folder already and takes its scans"):
        second.run()
    first.end()
    running.join(WAIT_SECONDS)
    third = ProductionLine(msgspec.structs.replace(file_of(calibrated_bundle, out="two"), folder=folders), tmp_path)
    threading.Timer(0.2, third.end).start()
    third.run()


def test_a_bundle_of_another_product_than_the_line_file_says_is_named(
    calibrated_bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    line = ProductionLine(file_of(calibrated_bundle), tmp_path)
    threading.Timer(0.2, line.end).start()
    line.run()
    assert len(line.doubts) == 1 and line.doubts[0] in caplog.text
    assert "product 'part': its bundle, " in caplog.text and "is of product 'gland': check" in caplog.text


def test_a_product_without_a_name_is_called_as_its_bundle_says(calibrated_bundle: Path, tmp_path: Path) -> None:
    line = ProductionLine(LineFile(line=LineTable(out="out"), product=[unnamed(calibrated_bundle)]), tmp_path)
    line.close()
    assert line.products.names() == ["gland"] and line.doubts == []


def unnamed(bundle: Path) -> ProductTable:
    """As `watch` names it."""
    return ProductTable(name="", bundle=str(bundle))
