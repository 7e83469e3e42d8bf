"""What a folder for results may be before anything is written."""

from pathlib import Path

import pytest
from cmdiad.runtime.errors import UsageError
from cmdiad.runtime.files.atomic_folder import holds_something


def test_nothing_and_an_empty_folder_hold_nothing_and_a_file_is_refused(tmp_path: Path) -> None:
    assert not holds_something(tmp_path / "new") and not holds_something(tmp_path)
    (tmp_path / "words").write_text("words")
    assert holds_something(tmp_path)
    with pytest.raises(UsageError, match="words: is a file, not a folder"):
        holds_something(tmp_path / "words")
