"""The tables of a line file become sinks."""

from __future__ import annotations

import importlib.util
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from cmdiad.runtime.errors import UsageError
from cmdiad.runtime.service.journal import Journal
from cmdiad.runtime.service.journal_id import journal_id
from cmdiad.runtime.service.line_file import read_line_file
from cmdiad.runtime.service.sinks import from_line_file
from cmdiad.runtime.service.sinks.from_line_file import sinks_from_line_file

ALL = """
[[product]]
name = "flange"
bundle = "flange.cmdiad"
[[mqtt]]
host = "broker"
username = "line"
password_file = "secret"
tls_ca = "ca.pem"
tls = true
[[mqtt]]
name = "second"
host = "other"
client_id = "mine"
version = "3.1.1"
[[opcua]]
users_file = "users"
trigger_folder = "triggered"
[[webhook]]
url = "https://mes/parts"
tls_ca = "ca.pem"
verdicts = ["defect"]
"""


def opened(text: str, folder: Path, journal: Journal) -> list[Any]:
    path = folder / "line.toml"
    path.write_text(text)
    answer: Future[Any] = Future()
    return list(sinks_from_line_file(read_line_file(path), folder, journal, lambda *_: answer, tuple))


def test_all_that_a_line_file_names_is_made_as_it_says(tmp_path: Path, journal: Journal) -> None:
    first, second, server, webhook = opened(ALL, tmp_path, journal)
    assert [sink.name for sink in (first, second, server, webhook)] == ["mqtt", "second", "opcua", "webhook"]
    line = journal_id(journal)
    assert first._settings.client_id == f"cmdiad-{line[:12]}-mqtt" and second._settings.client_id == "mine"
    assert first._settings.password_file == tmp_path / "secret" and first._settings.tls_ca == tmp_path / "ca.pem"
    assert server._settings.users_file == tmp_path / "users" and not server._settings.allows_anonymous
    assert server._settings.trigger_folder == tmp_path / "triggered"
    assert webhook._settings.journal_id == line and tuple(webhook._settings.verdicts) == ("defect",)


def test_a_table_whose_extra_is_not_installed_names_it(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(from_line_file, "find_spec", lambda name: None if name == "asyncua" else found(name))
    with pytest.raises(UsageError, match=r"pip install 'cmdiad\[opcua\]'"):
        opened(ALL, tmp_path, journal)


def test_without_tables_there_are_no_sinks(tmp_path: Path, journal: Journal) -> None:
    assert opened('[[product]]\nname = "flange"\nbundle = "b"\n', tmp_path, journal) == []
