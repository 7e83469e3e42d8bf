"""The fuzzer itself: it feeds every target, repeats itself, and notices what it is there for."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from cmdiad.benchmarks.fuzz.mutation import HOSTILE_VALUES, damage_bytes, damage_json, with_another_value
from cmdiad.benchmarks.fuzz.targets import TARGETS, PlainTarget
from cmdiad.benchmarks.fuzz.trials import CORPUS, Trials, mutations, seeds_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it measures memory as Linux tells it")
NEEDED = {"requests": "fastapi"}


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """No limits of this process, which has other tests to run: they would stay, and it may hold much already."""
    monkeypatch.setattr("resource.setrlimit", lambda *_: None)
    monkeypatch.setattr("cmdiad.benchmarks.fuzz.trials.MOST_MB", 1 << 20)


@pytest.mark.parametrize("name", TARGETS)
def test_a_few_damaged_inputs_of_every_target_are_read_or_refused_as_they_should_be(
    name: str, tmp_path: Path, unlimited: None
) -> None:
    pytest.importorskip(NEEDED.get(name, "numpy"))
    target = TARGETS[name]()
    try:
        trials, inputs = Trials(target, tmp_path), mutations(target, seeds_of(name), random.Random(1))
        for _ in range(25):
            trials.feed(next(inputs))
    finally:
        target.close()
    assert trials.summary()["fault_kinds"] == {}
    assert trials.runs == 25


def test_the_page_is_for_everyone_and_results_are_not(tmp_path: Path, unlimited: None) -> None:
    """Whichever of its two applications, with a token or without, the target asks."""
    pytest.importorskip("fastapi")
    target = TARGETS["requests"]()
    try:
        trials = Trials(target, tmp_path)
        for number in range(8):
            for path in ("/", "/page/app.js", "/v1/bundles", "/metrics"):
                trials.feed(f"GET {path}\nHost: 127.0.0.1\nX-Number: {number}\n\n".encode())
    finally:
        target.close()
    assert trials.summary()["fault_kinds"] == {} and trials.runs == 32


def test_the_same_seed_feeds_the_same_inputs() -> None:
    target = TARGETS["scans"]()
    first, again = (mutations(target, seeds_of("scans"), random.Random(3)) for _ in range(2))
    assert [next(first) for _ in range(60)] == [next(again) for _ in range(60)]


def _foreign(data: bytes) -> None:
    raise KeyError("x")


def _kept(work: Path) -> list[bytes]:
    return [path.with_suffix("").read_bytes() for path in work.glob("*.txt")]


def test_an_error_that_is_not_ours_is_a_fault_whose_input_is_kept(tmp_path: Path, unlimited: None) -> None:
    trials = Trials(PlainTarget(damage_bytes, _foreign), tmp_path)
    trials.feed(b"input")
    (kind,) = trials.faults
    assert kind.startswith("KeyError at test_fuzz.py")
    assert _kept(tmp_path) == [b"input"]


@pytest.mark.parametrize(("bound", "kind"), [("MOST_MB", "memory"), ("MOST_SECONDS", "slow")])
def test_too_much_memory_or_time_is_a_fault_whose_input_is_kept(
    bound: str, kind: str, tmp_path: Path, unlimited: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"cmdiad.benchmarks.fuzz.trials.{bound}", 0)
    trials = Trials(PlainTarget(damage_bytes, len), tmp_path)
    trials.feed(b"input")
    assert dict(trials.faults) == {kind: 1}
    assert _kept(tmp_path) == [b"input"]


def test_damage_to_json_ends_and_is_bytes() -> None:
    chance = random.Random(0)
    for _ in range(300):
        assert isinstance(damage_json(chance, b'{"a": [1, {"b": ""}], "c": null}'), bytes)
        with_another_value(chance, {"a": list(HOSTILE_VALUES)})


def test_the_corpus_is_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 200_000
    assert {folder.name for folder in CORPUS.iterdir()} == TARGETS.keys()
