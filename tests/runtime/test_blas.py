"""NumPy's matrix products on one thread, while asked for and no longer."""

import threading

import numpy as np
import pytest
from cmdiad.runtime.blas import single_threaded_blas
from threadpoolctl import threadpool_info, threadpool_limits


def threads() -> list[int]:
    """Threads of every BLAS that is loaded; NumPy's is, once it has multiplied."""
    np.eye(2) @ np.eye(2)
    return [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]


@pytest.fixture(autouse=True)
def two_threads():
    with threadpool_limits(2, user_api="blas"):
        yield


def test_one_thread_inside_and_as_before_afterwards():
    before = threads()
    with single_threaded_blas():
        assert set(threads()) == {1}
    assert threads() == before


def test_it_ends_with_the_last_of_several_threads():
    """Blocks of a pipeline's threads overlap, and end in any order."""
    before = threads()
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with single_threaded_blas():
            inside.set()
            leave.wait(10)

    other = threading.Thread(target=hold)
    with single_threaded_blas():
        other.start()
        assert inside.wait(10)
    assert set(threads()) == {1}
    leave.set()
    other.join()
    assert threads() == before


def test_an_error_ends_it_too():
    before = threads()
    with pytest.raises(ZeroDivisionError), single_threaded_blas():
        1 / 0  # noqa: B018
    assert threads() == before
