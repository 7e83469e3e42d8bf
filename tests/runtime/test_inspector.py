"""One call from a scan to a verdict; and what is not a number never becomes one."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cmdiad.runtime.errors import NotFiniteError, UsageError
from cmdiad.runtime.inspector import Inspector, check_finite
from cmdiad.runtime.sensor.readers import strips
from cmdiad.runtime.strategies import Answer, batch_sizes
from cmdiad.runtime.stream import inspect_stream


@pytest.fixture(scope="module")
def scan(synth_data: Path) -> Path:
    return synth_data / "gland" / "test" / "good" / "xyz" / "000.tiff"


@pytest.mark.parametrize("threshold", [math.nan, math.inf, -math.inf])
def test_a_threshold_that_is_not_finite_is_refused(calibrated_bundle: Path, threshold: float) -> None:
    with pytest.raises(UsageError, match="threshold"):
        Inspector.load(calibrated_bundle, threshold=threshold)


def test_a_graph_or_batch_that_does_not_exist_is_refused(calibrated_bundle: Path) -> None:
    with pytest.raises(UsageError, match="auto, networks, line"):
        Inspector.load(calibrated_bundle, graph="foo")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="batch"):
        Inspector.load(calibrated_bundle, batch=0)
    with pytest.raises(UsageError, match="0 threads"):
        Inspector.load(calibrated_bundle, threads=0)


@pytest.mark.parametrize(("threads", "side_by_side"), [(1, False), (2, False), (2, True)])
def test_a_files_strips_are_unpacked_by_as_many_threads_as_a_part_has(
    calibrated_bundle: Path, scan: Path, monkeypatch: pytest.MonkeyPatch, threads: int, side_by_side: bool
) -> None:
    names = set()
    decode = strips.imagecodecs.deflate_decode

    def noting(*arguments: Any, **options: Any) -> Any:
        names.add(threading.current_thread().name.split("_")[0])
        return decode(*arguments, **options)

    monkeypatch.setattr(strips.imagecodecs, "deflate_decode", noting)
    with Inspector.load(calibrated_bundle, threads=threads, side_by_side=side_by_side) as inspector:
        inspector.read(scan)
        inspector.read_bytes(scan.read_bytes())
    assert names == ({"unpack"} if threads == 2 and not side_by_side else {threading.current_thread().name})


@pytest.mark.parametrize("graph", ["networks", "line"])
@pytest.mark.parametrize("wrong", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["score", "map"])
def test_an_answer_that_is_not_a_number_is_an_error_of_that_part(
    calibrated_bundle: Path, scan: Path, monkeypatch: pytest.MonkeyPatch, graph: Any, wrong: float, where: str
) -> None:
    inspector = Inspector.load(calibrated_bundle, graph=graph)
    strategy = inspector._strategy
    answer = strategy.answer

    def spoilt(works: Any, times: Any) -> list[Answer]:
        (right,) = answer(works, times)
        if where == "score":
            return [Answer(wrong, right.map)]
        map_224 = right.map.copy()
        map_224[100, 100] = wrong
        return [Answer(right.score, map_224)]

    monkeypatch.setattr(strategy, "answer", spoilt)
    with pytest.raises(NotFiniteError, match=r"000\.tiff: .*no verdict") as caught:
        inspector(scan)
    assert caught.value.exit_code == 3


def test_a_network_that_answers_nan_is_an_error_of_that_part(
    calibrated_bundle: Path, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cmdiad.runtime.engines.session import OnnxSession

    run = OnnxSession.run

    def spoilt(self: OnnxSession, inputs: Any) -> Any:
        outputs = run(self, inputs)
        return {
            name: np.full_like(array, np.nan) if array.dtype.kind == "f" else array for name, array in outputs.items()
        }

    monkeypatch.setattr(OnnxSession, "run", spoilt)
    for graph in ("networks", "line"):
        with pytest.raises(NotFiniteError, match=r"000\.tiff: "):
            Inspector.load(calibrated_bundle, graph=graph)(scan)  # type: ignore[arg-type]


def test_finite_answers_pass() -> None:
    check_finite(Answer(0.0, np.zeros((224, 224), np.float32)))


def test_an_inspection_draws_its_own_heat_map_and_can_be_compared(calibrated_bundle: Path, scan: Path) -> None:
    inspection = Inspector.load(calibrated_bundle)(scan)
    assert inspection.heatmap().shape == (*inspection.map.shape, 3)
    assert inspection == inspection and inspection != Inspector.load(calibrated_bundle)(scan)


def test_a_closed_inspector_has_ended_its_search_threads(calibrated_bundle: Path, scan: Path) -> None:
    before = set(threading.enumerate())

    def own() -> list[threading.Thread]:
        return [one for one in threading.enumerate() if one not in before and one.name.startswith(("search", "second"))]

    with Inspector.load(calibrated_bundle, threads=2, graph="networks") as inspector:
        first = inspector(scan).score
        assert own()
    assert not own()
    assert inspector(scan).score == first
    inspector.close()


@pytest.mark.parametrize(("graph", "threads"), [("networks", 1), ("networks", 3), ("line", 3)])
def test_a_stream_says_of_each_part_what_the_part_alone_gets(
    calibrated_bundle: Path, synth_data: Path, graph: Any, threads: int
) -> None:
    """Whatever the number of threads, and side by side or not."""
    scans = [file for file in sorted((synth_data / "gland" / "test").rglob("*.tiff")) if file.parent.name == "xyz"]
    alone = Inspector.load(calibrated_bundle, threads=1)
    expected = [alone(file) for file in scans]
    for side_by_side in (False, True):
        inspector = Inspector.load(calibrated_bundle, threads=threads, graph=graph, side_by_side=side_by_side)
        outcomes = list(inspect_stream(inspector, scans))
        assert [outcome.scan for outcome in outcomes] == scans
        for outcome, right in zip(outcomes, expected, strict=True):
            assert outcome.inspection is not None
            assert outcome.inspection.score == pytest.approx(right.score, rel=1e-3)
            np.testing.assert_allclose(outcome.inspection.map, right.map, rtol=1e-3, atol=1e-3 * right.map.max())


def test_threads_govern_networks_search_and_grouping_alike(
    calibrated_bundle: Path, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cmdiad.runtime.engines import session
    from cmdiad.runtime.patches import grouping

    given: dict[str, set[int | None]] = {"networks": set(), "grouping": set()}

    def counting(name: str, module: Any) -> None:
        count = module.thread_count

        def counted(asked: int | None) -> int:
            given[name].add(asked)
            return int(count(asked))

        monkeypatch.setattr(module, "thread_count", counted)

    counting("networks", session)
    counting("grouping", grouping)
    inspector = Inspector.load(calibrated_bundle, threads=3, graph="networks")
    inspector(scan)
    shared, _ = inspector._strategy._decision.threads.pools()
    assert given == {"networks": {3}, "grouping": {3}} and shared.threads == inspector.threads == 3
    one_a_part = Inspector.load(calibrated_bundle, threads=3, side_by_side=True)
    assert one_a_part.side_by_side and one_a_part.threads == 3
    assert one_a_part._strategy._decision.threads.pools()[0].threads == 1


def test_a_batch_is_split_into_few_sizes() -> None:
    sizes = {size for n_parts in range(1, 33) for size in batch_sizes(n_parts, 16)}
    assert sizes == {1, 2, 4, 8, 16}
    for batch in (1, 3, 6, 8):
        assert all(sum(batch_sizes(n_parts, batch)) == n_parts for n_parts in range(20))
        assert max(batch_sizes(17, batch)) == batch
