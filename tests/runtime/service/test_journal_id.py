"""The name of a journal."""

from __future__ import annotations

from pathlib import Path

from cmdiad.runtime.service.journal import Journal
from cmdiad.runtime.service.journal_id import journal_id


def test_a_journal_keeps_its_name_and_no_other_has_it(tmp_path: Path) -> None:
    names = []
    for folder in ("first", "first", "second"):
        journal = Journal(tmp_path / folder)
        names.append(journal_id(journal))
        assert journal_id(journal) == names[-1] and len(names[-1]) == 32
        journal.close()
    assert names[0] == names[1] != names[2]
