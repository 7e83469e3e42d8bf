"""The name of a journal: together with a part's number it says which part of which line a result is for."""

from __future__ import annotations

import uuid

from .journal import Journal

_NOTE = "journal_id"


def journal_id(journal: Journal) -> str:
    """32 hexadecimal digits that no other journal has; they are drawn once and kept in it.

    Raises:
        OutputError: the journal cannot be read or written.
    """
    kept = journal.note(_NOTE)
    if kept is None:
        kept = uuid.uuid4().hex
        journal.keep_notes({_NOTE: kept})
    return kept
