"""How many processors a process may use, and pools that outlive a part but neither their owner nor a fork."""

import gc
import math
import multiprocessing
import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cmdiad.runtime import threads
from cmdiad.runtime.banks.bank import MIN_SCREENED_ROWS, build_bank
from cmdiad.runtime.engines.session import OnnxSession
from cmdiad.runtime.errors import UsageError
from cmdiad.runtime.patches.features import PartFeatures
from cmdiad.runtime.threads import SearchThreads, control_group_quota, thread_count, usable_processors
from cmdiad.runtime.verdict import decision as decision_module
from cmdiad.runtime.verdict.decision import Decision, NormalizedBank
from cmdiad.runtime.verdict.fusion import Combination, Fusion


@pytest.mark.parametrize("asked", [0, -1])
def test_no_threads_are_refused_and_never_taken_for_all(asked):
    assert thread_count(None) == usable_processors() and thread_count(3) == 3
    with pytest.raises(UsageError, match=rf"{asked} threads: give 1 or more"):
        thread_count(asked)
    with pytest.raises(UsageError, match="threads"):
        OnnxSession(b"", threads=asked)


def groups(tmp_path, lines, files):
    own = tmp_path / "own"
    own.write_text("".join(f"{line}\n" for line in lines))
    for name, content in files.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(content)
    return control_group_quota(tmp_path / "root", own)


def version_1(folder, quota):
    return {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": "100000"}


@pytest.mark.parametrize(
    ("lines", "files", "expected"),
    [
        (["0::/"], {"cpu.max": "150000 100000\n"}, 1.5),
        (["0::/"], {"cpu.max": "max 100000\n"}, math.inf),
        (["0::/a/b"], {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "200000 50000\n"}, 4.0),
        (["0::/a"], {"a/cpu.max": "400000 100000\n", "cpu.max": "100000 100000\n"}, 1.0),
        (["3:cpuset:/x", "4:cpu,cpuacct:/docker/1"], version_1("cpu", "50000"), 0.5),
        (["4:cpu,cpuacct:/x"], version_1("cpu/x", "-1"), math.inf),
        (["0::/"], {"cpu.max": "nonsense\n"}, math.inf),
        (["not a group"], {}, math.inf),
    ],
    ids=["v2", "v2 none", "v2 above", "v2 smallest", "v1 container", "v1 none", "damaged", "unknown"],
)
def test_the_quota_is_the_smallest_of_the_groups_that_hold_the_process(tmp_path, lines, files, expected):
    assert groups(tmp_path, lines, files) == expected


def test_a_system_without_control_groups_has_no_quota(tmp_path):
    assert control_group_quota(tmp_path / "root", tmp_path / "nowhere") == math.inf


@pytest.mark.parametrize(("quota", "allowed", "expected"), [(math.inf, 6, 6), (1.5, 6, 2), (0.2, 6, 1), (9.0, 6, 6)])
def test_a_quota_narrows_what_affinity_allows(monkeypatch, quota, allowed, expected):
    monkeypatch.setattr(threads, "_quota", lambda: quota)
    monkeypatch.setattr(threads, "_shares", [])
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(allowed), raising=False)
    assert usable_processors() == expected


@pytest.mark.parametrize("count", [1, 2, 16, 200])
def test_a_search_has_as_many_threads_as_it_was_given_and_else_as_the_machine_has(count, monkeypatch):
    monkeypatch.setattr(threads, "usable_processors", lambda: count)
    assert SearchThreads().pools()[0].threads == SearchThreads(count).pools()[0].threads == count
    with pytest.raises(UsageError, match="threads"):
        SearchThreads(0)


@pytest.fixture(scope="module")
def decision():
    rng = np.random.default_rng(0)
    banks = [
        NormalizedBank(
            build_bank((rng.normal(size=(MIN_SCREENED_ROWS + 500, 6)) @ rng.normal(size=(6, 48))).astype(np.float32)),
            0.3,
            2.0,
        )
        for _ in range(2)
    ]
    assert all(bank.bank.basis is not None for bank in banks)
    combination = Combination(coefficients=(0.4, 0.8), offset=0.3, alpha=2.0, beta=0.5)
    return Decision(*banks, Fusion(score=combination, map=combination))


@pytest.fixture(scope="module")
def part(decision):
    rng = np.random.default_rng(1)
    near = [bank.bank.rows[:900] * 2.0 + 0.3 + rng.normal(size=(900, 48)) for bank in (decision.main, decision.second)]
    return PartFeatures(np.arange(3136) < 900, *(features.astype(np.float32) for features in near))


def search_threads_alive():
    return {thread for thread in threading.enumerate() if thread.name.startswith(("search_", "second_"))}


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 16])
def test_any_number_of_threads_gives_the_very_same_answer(decision, part, count):
    alone = [bank.bank.search(bank.normalize(rows)) for bank, rows in banks_of(decision, part)]
    some = Decision(decision.main, decision.second, decision.fusion, SearchThreads(count))
    for found, expected in zip(some.match(part), alone, strict=True):
        np.testing.assert_array_equal(found.distances, expected.distance)
    some.close()


def banks_of(decision, part):
    return (decision.main, part.main), (decision.second, part.second)


def test_parts_share_the_threads_and_the_owner_ends_them(decision, part):
    before = search_threads_alive()
    some = Decision(decision.main, decision.second, decision.fusion, SearchThreads(2))
    assert search_threads_alive() == before
    first = some.match(part)
    started = search_threads_alive() - before
    some.match(part)
    assert started and search_threads_alive() - before == started
    some.close()
    assert not search_threads_alive() & started
    again = some.match(part)
    assert [match.score for match in again] == [match.score for match in first]
    some.close()


def test_threads_end_with_a_decision_that_nobody_closed(decision, part):
    before = search_threads_alive()
    some = Decision(decision.main, decision.second, decision.fusion, SearchThreads(2))
    some.match(part)
    started = search_threads_alive() - before
    del some
    gc.collect()
    for thread in started:
        thread.join(timeout=60)
    assert not search_threads_alive() & started


def test_parts_at_the_same_time_get_their_own_answers(decision, part):
    other = PartFeatures(part.foreground, part.main[::-1].copy(), part.second[::-1].copy())
    expected = {id(each): [match.distances for match in decision.match(each)] for each in (part, other)}
    found = {}
    workers = [
        threading.Thread(target=lambda each=each: found.setdefault(id(each), decision.match(each)))
        for each in (part, other)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for key, distances in expected.items():
        for match, right in zip(found[key], distances, strict=True):
            np.testing.assert_array_equal(match.distances, right)


def test_with_one_thread_every_caller_searches_on_its_own(decision, part, monkeypatch):
    """Two callers are in the search at the same time, and no thread is started for them."""
    together, before = threading.Barrier(2), search_threads_alive()

    def waiting(*arguments):
        together.wait(timeout=30)
        return match_bank(*arguments)

    match_bank = decision_module.match_bank
    monkeypatch.setattr(decision_module, "match_bank", waiting)
    some = Decision(decision.main, None, None, SearchThreads(1))
    with ThreadPoolExecutor(2) as callers:
        one, other = callers.map(some.match, [part, part])
    assert one[0].score == other[0].score and search_threads_alive() == before


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork here")
def test_a_fork_starts_its_own_threads():
    own = SearchThreads()
    shared, _ = own.pools()
    assert shared.pool.submit(os.getpid).result() == os.getpid()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of forks beside threads; this is that case
        child = multiprocessing.get_context("fork").Process(target=answer_in_child, args=(own,))
        child.start()
    child.join(timeout=60)
    assert child.exitcode == 0
    own.close()


def answer_in_child(own):
    shared, second = own.pools()
    answers = [pool.submit(os.getpid).result(timeout=30) for pool in (shared.pool, second)]
    os._exit(0 if answers == [os.getpid()] * 2 else 1)
