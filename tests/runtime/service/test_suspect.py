"""Suspects: another process inspects them first."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cmdiad.runtime.errors import PoisonError
from cmdiad.runtime.service import suspect
from cmdiad.runtime.service.inspector_settings import InspectorSettings

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")


def test_an_error_in_the_other_process_is_no_death(tmp_path: Path) -> None:
    suspect.survives(tmp_path / "no bundle", tmp_path / "scan.tiff", InspectorSettings())


def test_a_process_that_is_killed_is_told_with_its_signal_and_last_words(
    tmp_path: Path, shell_child: Callable[[str], None]
) -> None:
    shell_child("echo no more memory >&2; kill -9 $$")
    with pytest.raises(PoisonError, match=r"inspects it \(SIGKILL; its last output: no more memory\)"):
        suspect.survives(tmp_path, tmp_path / "scan.tiff", InspectorSettings())


def test_a_process_that_hangs_is_ended(tmp_path: Path, shell_child: Callable[[str], None]) -> None:
    shell_child("exec sleep 60")
    with pytest.raises(PoisonError, match=r"not done after 0\.2 s"):
        suspect.survives(tmp_path, tmp_path / "scan.tiff", InspectorSettings(), patience_seconds=0.2)
