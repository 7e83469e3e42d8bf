"""A file is there completely or not at all."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from cmdiad.runtime.errors import OutputError
from cmdiad.runtime.files.atomic import atomic_write, atomic_write_bytes, naming_place, require_writable


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.bin"
    with atomic_write(path) as stream:
        stream.write(b"abc")
        stream.seek(1)
        stream.write(b"X")
        assert not path.exists()
        assert len(list(path.parent.iterdir())) == 1
    assert path.read_bytes() == b"aXc"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.bin"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, ValueError])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(error), atomic_write(path) as stream:
        stream.write(b"half")
        raise error
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_bytes_replace_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old and longer")
    atomic_write_bytes(str(path), b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    atomic_write_bytes(tmp_path / ("n" * 255), b"x")
    assert [len(entry.name) for entry in tmp_path.iterdir()] == [255]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_others_may_read_as_far_as_the_umask_lets_them(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    atomic_write_bytes(tmp_path / "atomic", b"")
    assert stat.S_IMODE((tmp_path / "atomic").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_name_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "folder" / "in_it").mkdir(parents=True)
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "folder", tmp_path / "file" / "a.bin", tmp_path / ("n" * 256)):
        with pytest.raises(OutputError, match="cannot be written") as caught:
            atomic_write_bytes(path, b"x")
        assert str(caught.value).startswith(f"{path}: ")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No space left"), atomic_write(tmp_path / "a.bin"):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_what_the_block_reads_keeps_its_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "a.bin"):
        (tmp_path / "missing").open()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_even_be_begun_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(OutputError, match=r"a\.bin: cannot be written: Permission denied"):
        atomic_write_bytes(tmp_path / "a.bin", b"x")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    place = tmp_path / "file" / "bundle"
    with pytest.raises(OutputError, match=r"file/bundle: cannot be written: Not a directory"), naming_place(place):
        place.mkdir()


def test_a_place_where_nothing_can_be_written_is_known_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="bundle: cannot be written"):
        require_writable(tmp_path / "file" / "bundle")
    require_writable(tmp_path / "new" / "folder" / "bundle")
    require_writable(tmp_path / "file")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "file")
    atomic_write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "folder" / "file").read_bytes() == b"new"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_written_and_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append((tmp_path / "pipe").read_bytes()), daemon=True)
    reader.start()
    require_writable(tmp_path / "pipe")
    atomic_write_bytes(tmp_path / "pipe", b"verdicts")
    reader.join(20)
    assert received == [b"verdicts"] and stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no such device here")
def test_a_device_is_never_replaced() -> None:
    with pytest.raises(OutputError, match="No space left"):
        atomic_write_bytes("/dev/full", b"verdicts")
    assert Path("/dev/full").is_char_device()
    atomic_write_bytes("/dev/null", b"verdicts")
    assert Path("/dev/null").is_char_device()
