"""Threads that unpack one file together: the same values by any number of them, and the first piece's error."""

from __future__ import annotations

import threading

import pytest
from cmdiad.runtime.sensor.unpacking import UnpackingThreads, for_each_piece


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_piece_is_unpacked_once(count: int) -> None:
    unpacked: list[int] = []
    threads = UnpackingThreads(count)
    with threads.shared():
        for_each_piece(unpacked.append, range(20))
    threads.close()
    assert sorted(unpacked) == list(range(20))


def test_threads_share_the_pieces_only_inside_of_the_block_and_only_of_the_thread_that_entered_it() -> None:
    names: list[str] = []
    threads = UnpackingThreads(2)

    def note(_: int) -> None:
        names.append(threading.current_thread().name)

    with threads.shared():
        for_each_piece(note, [1, 2])
        other = threading.Thread(target=for_each_piece, args=(note, [3, 4]), name="another reader")
        other.start()
        other.join()
        for_each_piece(note, [5])
    for_each_piece(note, [6, 7])
    threads.close()
    own = threading.current_thread().name
    assert all(name.startswith("unpack") for name in names[:2])
    assert names[2:] == ["another reader", "another reader", own, own, own]


@pytest.mark.parametrize("count", [1, 3])
def test_the_first_piece_that_fails_says_why(count: int) -> None:
    def refuse(piece: int) -> None:
        if piece > 3:
            raise ValueError(f"piece {piece}")

    threads = UnpackingThreads(count)
    with threads.shared(), pytest.raises(ValueError, match=r"^piece 4$"):
        for_each_piece(refuse, range(9))
    threads.close()


def test_closed_threads_start_again() -> None:
    unpacked: list[int] = []
    threads = UnpackingThreads(2)
    for _ in range(2):
        with threads.shared():
            for_each_piece(unpacked.append, [1, 2])
        threads.close()
    assert sorted(unpacked) == [1, 1, 2, 2]
