"""The release recipe's own decisions; what it builds is checked by running it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from cmdiad.scripts import release
from cmdiad.scripts.release import is_in_changelog, refuse_unready, sums, version_of
from cmdiad.version import __version__

from .pages import ROOT, text_of


def test_the_version_is_read_from_its_one_place() -> None:
    assert version_of(text_of(ROOT / "version.py")) == __version__


def test_a_version_that_the_changelog_does_not_have_is_noticed() -> None:
    changelog = "# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2026-12-01\n"
    assert is_in_changelog("0.2.0", changelog)
    assert not is_in_changelog("0.2", changelog) and not is_in_changelog("0.2.1", changelog)


def test_digests_are_those_that_sha256sum_checks(tmp_path: Path) -> None:
    (tmp_path / "a.whl").write_bytes(b"wheel")
    assert sums([tmp_path / "a.whl"]) == f"{hashlib.sha256(b'wheel').hexdigest()}  a.whl\n"


@pytest.mark.parametrize(
    ("changes", "changelog", "words"),
    [
        (" M version.py", "", "the checkout has changes"),
        ("", "## Unreleased", "has no heading for 9.9.9"),
        ("", "## 9.9.9 - 2099-01-01", "tests/released/9.9.9: is not whole"),
    ],
    ids=["changes", "no heading", "no kept bundle"],
)
def test_what_is_not_ready_is_not_released(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changes: str, changelog: str, words: str
) -> None:
    (tmp_path / "CHANGELOG.md").write_text(changelog)
    monkeypatch.setattr(release, "run", lambda *_: changes)
    monkeypatch.setattr(release, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match=words):
        refuse_unready("9.9.9")
