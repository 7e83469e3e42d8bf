"""Files of an inspection never replace another part's by accident."""

from __future__ import annotations

from pathlib import Path

import pytest
from cmdiad.runtime.errors import UsageError
from cmdiad.runtime.verdict.saved_files import saved_files


def test_a_part_without_a_name_takes_the_first_number_that_is_free(tmp_path: Path) -> None:
    for number in (1, 2, 4):
        (tmp_path / f"part_{number:04d}_result.json").touch()
    assert saved_files(tmp_path, None, False).result.name == "part_0003_result.json"


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "a\\b", "a\0b"])
def test_a_name_never_leaves_the_folder(tmp_path: Path, name: str) -> None:
    files = saved_files(tmp_path, name, True)
    assert files.cloud is not None
    for path in (files.heatmap, files.map, files.result, files.cloud):
        assert path.resolve().parent == tmp_path.resolve() and "\0" not in str(path)


@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="nonempty name"):
        saved_files(tmp_path, name, False)
