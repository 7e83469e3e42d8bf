"""A running line says that its file is another one than it was started with."""

import logging
from pathlib import Path

import pytest
from cmdiad.runtime.service.line_file_change import LineFileChange


def test_a_changed_file_is_said_once_and_until_it_is_as_it_was(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "line.toml"
    path.write_text("[line]\n")
    change = LineFileChange(path)
    with caplog.at_level(logging.WARNING, "cmdiad.line"):
        change.look()
        assert change.problem == "" and not caplog.messages
        path.write_text('[line]\nout = "results"\n')
        change.look()
        change.look()
        assert "line.toml has changed" in change.problem and "restart the line" in change.problem
        assert caplog.messages == [change.problem]
        path.unlink()
        change.look()
        assert "line.toml is gone" in change.problem
        path.write_text("[line]\n")
        change.look()
        assert change.problem == ""


def test_a_file_written_again_as_it_was_is_not_a_change(tmp_path: Path) -> None:
    path = tmp_path / "line.toml"
    path.write_text("[line]\n")
    change = LineFileChange(path)
    path.write_text("[line]\n")
    change.look()
    assert change.problem == ""
