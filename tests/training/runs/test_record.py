"""What is no run of this version is refused in words."""

from pathlib import Path

import pytest
from cmdiad.runtime.errors import UsageError
from cmdiad.training.runs.record import CONFIG, read_run


@pytest.mark.parametrize("raw", [b"{}", b'{"route": "f2z"}', b"[]", b"not JSON", b"\xff\xfe", b""])
def test_a_run_of_another_version_is_refused_in_words(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / CONFIG).write_bytes(raw)
    with pytest.raises(UsageError, match=r"run\.json: not a run of this version .*: train again"):
        read_run(tmp_path)


def test_a_folder_without_a_finished_run_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no finished training run is here: run `cmdiad train DATA` first"):
        read_run(tmp_path)
