"""The user's cache is below the system's, and what is read from it is what was written to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cmdiad.runtime.files import user_cache as module
from cmdiad.runtime.files.user_cache import keep, read_kept, user_cache


@pytest.mark.skipif(os.name == "nt", reason="the variable is Linux's")
def test_it_is_where_the_system_has_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache("kernels") == tmp_path / "cmdiad" / "kernels"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_cache("kernels") == tmp_path / ".cache" / "cmdiad" / "kernels"
    monkeypatch.setattr(module.sys, "platform", "darwin")
    assert user_cache("kernels") == tmp_path / "Library" / "Caches" / "cmdiad" / "kernels"


def test_what_was_kept_is_read_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "kept"
    assert read_kept(file) is None
    keep(file, b"content")
    assert read_kept(file) == b"content"
    file.write_bytes(file.read_bytes()[:-1])
    assert read_kept(file) is None
    keep(file, b"")
    assert read_kept(file) is None


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("not a folder")
    keep(tmp_path / "folder" / "kept", b"content")
    assert read_kept(tmp_path / "folder" / "kept") is None
