"""Rehearsals: testing a new bundle by another process, which may fail, end or hang without harm."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.errors import BundleError
from cmdiad.runtime.service import rehearsal
from cmdiad.runtime.service.inspector_settings import InspectorSettings

needs_a_shell = pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")


def test_a_good_bundle_is_told_by_its_digest(calibrated_bundle: Path) -> None:
    assert rehearsal.rehearse(calibrated_bundle, InspectorSettings()) == open_bundle(calibrated_bundle).manifest.digest


def test_a_bundle_that_cannot_be_opened_says_why(calibrated_bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(calibrated_bundle, tmp_path / "bundle")
    with (tmp_path / "bundle" / "fusion.json").open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(BundleError, match=r"fusion\.json was changed"):
        rehearsal.rehearse(tmp_path / "bundle", InspectorSettings())


def test_a_self_test_that_fails_is_told(calibrated_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(bundle: object, settings: object) -> None:
        raise ValueError("two shapes differ")

    monkeypatch.setattr(rehearsal, "require_selftest", fail)
    outcome = rehearsal._tested_here(calibrated_bundle, InspectorSettings())
    assert "two shapes differ" in outcome["error"]


@needs_a_shell
def test_a_process_that_is_killed_is_told_with_its_signal_and_last_words(
    tmp_path: Path, shell_child: Callable[[str], None]
) -> None:
    shell_child("echo no more memory >&2; kill -9 $$")
    with pytest.raises(
        BundleError, match=r"ends the process that tests it \(SIGKILL; its last output: no more memory\)"
    ):
        rehearsal.rehearse(tmp_path, InspectorSettings())


@needs_a_shell
@pytest.mark.parametrize("printed", ["", "rubbish", json.dumps({"digest": 1}), json.dumps({"other": "x"})])
def test_a_process_that_says_nothing_of_use_has_passed_nothing(
    tmp_path: Path, shell_child: Callable[[str], None], printed: str
) -> None:
    shell_child(f"echo '{printed}'")
    with pytest.raises(BundleError, match="exit code 0"):
        rehearsal.rehearse(tmp_path, InspectorSettings())


@needs_a_shell
def test_a_process_that_dies_after_its_answer_has_not_passed(
    tmp_path: Path, shell_child: Callable[[str], None]
) -> None:
    shell_child('echo \'{"digest": "d"}\'; kill -11 $$')
    with pytest.raises(BundleError, match="SIGSEGV"):
        rehearsal.rehearse(tmp_path, InspectorSettings())


@needs_a_shell
def test_a_process_that_hangs_is_ended(tmp_path: Path, shell_child: Callable[[str], None]) -> None:
    shell_child("exec sleep 60")
    with pytest.raises(BundleError, match=r"not done after 0\.2 s"):
        rehearsal.rehearse(tmp_path, InspectorSettings(), patience_seconds=0.2)


@needs_a_shell
def test_a_line_that_ends_does_not_wait_for_a_process_that_hangs(
    tmp_path: Path, shell_child: Callable[[str], None]
) -> None:
    shell_child("exec sleep 60")
    begin = time.monotonic()
    with pytest.raises(BundleError, match="the line was stopped"):
        rehearsal.rehearse(tmp_path, InspectorSettings(), lambda: True)
    assert time.monotonic() - begin < 30
