"""An audit trail only grows, says who did what and when, and shows what was changed or removed."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from cmdiad.runtime.errors import BundleError, OutputError
from cmdiad.runtime.files import audit
from cmdiad.runtime.files.audit import AuditedScan, AuditEntry, append_audit, verify_audit


def entry(action="update", **changes):
    return AuditEntry.now(action, ["cmdiad", "calibrate"], "1" * 64, "2" * 64, **changes)


@pytest.fixture
def trail(tmp_path):
    path = tmp_path / "line" / "audit.jsonl"
    for number in range(4):
        append_audit(path, entry(details={"number": str(number)}))
    return path


def test_entries_come_back_in_order_with_who_when_and_what(tmp_path):
    path = tmp_path / "audit.jsonl"
    assert verify_audit(path) == []
    scans = [AuditedScan(name="teil_\udcfc.tiff", sha256="3" * 64)]
    first, second = (append_audit(path, entry(action, scans=scans)) for action in ("update", "swap"))
    read = verify_audit(path)
    assert [line.number for line in read] == [1, 2] and read[1] == msgspec.structs.replace(second, scans=read[1].scans)
    assert read[0].previous == "0" * 64 != read[1].previous and first.action == "update"
    assert read[0].user and read[0].host and read[0].when_utc.endswith("+00:00") and len(read[0].when_utc) == 25
    assert read[0].command == ["cmdiad", "calibrate"] and read[0].scans[0].name == r"teil_\xfc.tiff"


def changed(path: Path, change) -> None:
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


@pytest.mark.parametrize(
    ("change", "where"),
    [
        pytest.param(lambda lines: lines[1:], "line 1", id="the first removed"),
        pytest.param(lambda lines: [lines[0], *lines[2:]], "line 2", id="one removed"),
        pytest.param(lambda lines: [lines[0], lines[2], lines[1], lines[3]], "line 2", id="two swapped"),
        pytest.param(lambda lines: [lines[0], lines[0], *lines[1:]], "line 2", id="one repeated"),
        pytest.param(lambda lines: [lines[0].replace(b"update", b"Update"), *lines[1:]], "line 2", id="one changed"),
        pytest.param(lambda lines: [*lines[:3], lines[3][:-9]], "line 4", id="cut off"),
        pytest.param(lambda lines: [b"{}\n", *lines], "line 1", id="another line"),
        pytest.param(lambda lines: [b"\xff\n", *lines], "line 1", id="not text"),
    ],
)
def test_what_was_changed_or_removed_is_noticed(trail, change, where):
    assert len(verify_audit(trail)) == 4
    changed(trail, change)
    with pytest.raises(BundleError, match=rf"audit\.jsonl: {where}"):
        verify_audit(trail)


def test_nothing_is_chained_to_a_line_that_is_none(trail):
    changed(trail, lambda lines: [*lines[:3], lines[3][:-9]])
    before = trail.read_bytes()
    with pytest.raises(BundleError, match="cut off"):
        append_audit(trail, entry())
    changed(trail, lambda lines: [*lines[:3], b"{}\n"])
    with pytest.raises(BundleError, match="last line is not an entry"):
        append_audit(trail, entry())
    assert trail.read_bytes()[:-3] == before[: len(trail.read_bytes()) - 3]


def test_a_line_longer_than_any_is_refused_before_it_is_read(trail, monkeypatch):
    monkeypatch.setattr(audit, "MAX_LINE_BYTES", 50)
    with pytest.raises(BundleError, match="line 1 is cut off"):
        verify_audit(trail)


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        append_audit(tmp_path / "file" / "audit.jsonl", entry())


APPEND_TEN = """
import sys
from pathlib import Path
from cmdiad.runtime.files.audit import AuditEntry, append_audit
for _ in range(10):
    append_audit(Path(sys.argv[1]), AuditEntry.now("swap"))
"""


def test_processes_that_append_at_the_same_time_wait_for_each_other(tmp_path):
    path = tmp_path / "audit.jsonl"
    workers = [subprocess.Popen([sys.executable, "-c", APPEND_TEN, path]) for _ in range(3)]
    assert [worker.wait() for worker in workers] == [0, 0, 0] and len(verify_audit(path)) == 30


def test_a_user_without_a_name_is_unknown(monkeypatch):
    def unnamed():
        raise KeyError("uid")

    monkeypatch.setattr(audit.getpass, "getuser", unnamed)
    assert entry().user == "unknown"
