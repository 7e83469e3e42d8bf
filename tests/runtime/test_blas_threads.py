"""NumPy's matrix products on one thread, while asked for and no longer."""

import os
import signal
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from cmdiad.runtime.threads import _BLAS_LIMIT, single_threaded_blas
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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_is_not_held_up_by_what_its_parents_threads_held():
    """Forked while another thread is inside the lock and inside a block."""
    with _BLAS_LIMIT._lock, single_threaded_blas_of_another_thread():
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # ends a child that waits for the lock
            with single_threaded_blas():
                held = set(threads())
            os._exit(0 if held == {1} and _BLAS_LIMIT._inside == 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@contextmanager
def single_threaded_blas_of_another_thread():
    """As if it had entered before."""
    _BLAS_LIMIT._inside += 1
    try:
        yield
    finally:
        _BLAS_LIMIT._inside -= 1
