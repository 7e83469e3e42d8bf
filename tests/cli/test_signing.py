"""Keys and signatures as a user meets them: made on the workstation, asked for on the line."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cmdiad.cli.signing import finish_signing, signing_keys
from cmdiad.runtime.bundle.key_files import PublicKey, new_key
from cmdiad.runtime.bundle.reading import is_signed, open_bundle
from cmdiad.runtime.bundle.signature import TrustedKeys
from cmdiad.runtime.bundle.writing import write_bundle

from ..forked_commands import run_command
from ..runtime.bundle.manifests import least_manifest

signing = pytest.mark.skipif(importlib.util.find_spec("cryptography") is None, reason="cryptography is not installed")


def run(program: str, *arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_command(program, *arguments, cwd=cwd, **environment)


def done(program: str, *arguments: object, cwd: Path, **environment: str) -> str:
    answer = run(program, *arguments, cwd=cwd, **environment)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@signing
def test_a_key_is_made_and_shown_by_either_file(tmp_path: Path) -> None:
    made = done("cmdiad", "keys", "new", "plant", "--out", "keys", cwd=tmp_path)
    shown = {done("cmdiad", "keys", "show", f"keys/plant{suffix}", cwd=tmp_path) for suffix in (".key", ".pub")}
    assert len(shown) == 1 and f"key ID: {shown.pop().strip()}" in made and "not encrypted" in made


@signing
def test_a_passphrase_comes_from_the_variable_and_is_asked_for_on_a_terminal_only(tmp_path: Path) -> None:
    secret = {"CMDIAD_KEY_PASSPHRASE": "correct horse"}
    done("cmdiad", "keys", "new", "plant", cwd=tmp_path, **secret)
    assert done("cmdiad", "keys", "show", "plant.key", cwd=tmp_path, **secret)
    answer = run("cmdiad", "keys", "show", "plant.key", cwd=tmp_path)
    assert answer.returncode == 2 and "CMDIAD_KEY_PASSPHRASE" in answer.stderr


@signing
def test_the_line_refuses_what_the_plant_did_not_sign(
    calibrated_bundle: Path, synth_data: Path, tmp_path: Path
) -> None:
    scan = synth_data / "gland" / "test" / "good" / "xyz" / "000.tiff"
    shutil.copytree(calibrated_bundle, tmp_path / "bundle")
    for name in ("plant", "other"):
        done("cmdiad", "keys", "new", name, cwd=tmp_path)
    infer = ("infer", scan, "--heatmaps", "none", "--json")
    for asked, variable in ((["--require-signature", "plant.pub"], ""), ([], "plant.pub")):
        answer = run("cmdiad-rt", *infer, *asked, cwd=tmp_path, CMDIAD_REQUIRE_SIGNATURE=variable)
        assert answer.returncode == 4 and "is not signed" in answer.stderr and answer.stdout == ""
    said = done("cmdiad", "sign", "bundle", "--key", "plant.key", "--date", "2026-11-28", cwd=tmp_path)
    assert "signed: plant, 2026-11-28, key " in said
    both = os.pathsep.join(("other.pub", "plant.pub"))
    assert json.loads(done("cmdiad-rt", *infer, cwd=tmp_path, CMDIAD_REQUIRE_SIGNATURE=both))["score"] > 0
    report = json.loads(done("cmdiad-rt", "selftest", "--json", "--require-signature", "plant.pub", cwd=tmp_path))
    assert report["passed"] and report["signature"].startswith("plant, 2026-11-28") and "checked" in report["signature"]
    answer = run("cmdiad-rt", "selftest", "--require-signature", "other.pub", cwd=tmp_path)
    assert answer.returncode == 4 and "not trusted here" in answer.stderr and len(answer.stderr.splitlines()) == 1


@signing
@pytest.mark.slow
def test_calibrating_a_signed_bundle_ends_its_signature_and_says_so(
    calibrated_bundle: Path, synth_data: Path, tmp_path: Path
) -> None:
    good = synth_data / "gland" / "train" / "good"
    shutil.copytree(calibrated_bundle, tmp_path / "bundle")
    done("cmdiad", "keys", "new", "plant", cwd=tmp_path)
    done("cmdiad", "sign", "bundle", "--key", "plant.key", cwd=tmp_path)
    calibrate = ("calibrate", good, "--force", "--coreset-ratio", "0.02", "--no-line-graph", "-q")
    answer = run("cmdiad", *calibrate, cwd=tmp_path)
    assert answer.returncode == 0 and "warning: bundle: is not signed" in answer.stderr
    assert not is_signed(tmp_path / "bundle")


@signing
def test_what_a_command_wrote_is_signed_by_the_key_that_was_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    private, public, _ = new_key("plant", tmp_path)
    write_bundle(tmp_path / "bundle", least_manifest(), {"x": b"1"})
    finish_signing(tmp_path / "bundle", signing_keys([private], "calibrate"), signed_before=True)
    output = capsys.readouterr()
    assert output.out.startswith("signed: plant, ") and output.err == ""
    assert open_bundle(tmp_path / "bundle", TrustedKeys.read([public])).signature is not None
    finish_signing(tmp_path / "bundle", [], signed_before=False)
    assert capsys.readouterr() == ("", "")


@signing
@pytest.mark.slow
def test_the_bench_measures_only_what_is_signed(calibrated_bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(calibrated_bundle, tmp_path / "bundle")
    done("cmdiad", "keys", "new", "plant", cwd=tmp_path)
    bench = ("bench", "--seconds", "0", "--samples", "1", "--scenario", "single-stream", "-q", "--coreset", "0.01")
    trusted = {"CMDIAD_REQUIRE_SIGNATURE": "plant.pub"}
    answer = run("cmdiad-rt", *bench, cwd=tmp_path, **trusted)
    assert answer.returncode == 4 and "is not signed" in answer.stderr
    done("cmdiad", "sign", "bundle", "--key", "plant.key", cwd=tmp_path)
    done("cmdiad-rt", *bench, cwd=tmp_path, **trusted)


def test_without_cryptography_one_line_names_the_extra(tmp_path: Path) -> None:
    (tmp_path / "plant.pub").write_bytes(PublicKey(bytes(32)).pem())
    write_bundle(tmp_path / "bundle", least_manifest(), {"x": b"1"})
    hiding = "import sys; sys.modules['cryptography'] = None; from cmdiad.cli.line import main; main()"
    answer = subprocess.run(
        [sys.executable, "-c", hiding, "infer", "x.tiff", "--require-signature", "plant.pub"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 2 and "pip install 'cmdiad[sign]'" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_a_key_that_cannot_be_read_is_said_before_the_work(tmp_path: Path) -> None:
    answer = run("cmdiad", "calibrate", "scans", "--sign", "nowhere.key", cwd=tmp_path)
    assert answer.returncode == 2 and ("nowhere.key" in answer.stderr or "cmdiad[sign]" in answer.stderr)
