"""`cmdiad demo`: the commands that it runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from cmdiad.cli import line, workstation
from cmdiad.cli.demo import demo
from cmdiad.runtime.errors import UsageError


def test_a_folder_with_spaces_is_one_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[list[str]] = []
    for program in (line, workstation):
        monkeypatch.setattr(program, "app", lambda arguments, standalone_mode: ran.append(arguments))
    folder = tmp_path / "my demo"
    demo(folder, quiet=True)
    names = ["synth", "train", "evaluate", "export", "calibrate", "infer"]
    assert [arguments[0] for arguments in ran] == names and all(arguments[-1] == "--quiet" for arguments in ran)
    assert ran[0][1] == str(folder / "data") and ran[3][-2] == str(folder / "bundle")
    assert f"$ cmdiad synth '{folder / 'data'}' --seed 0 --class flange" in capsys.readouterr().out


def test_a_folder_that_is_not_a_demos_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(UsageError, match="not a demo's"):
        demo(tmp_path)
    assert (tmp_path / "mine").exists()
