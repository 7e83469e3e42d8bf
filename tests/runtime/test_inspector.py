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
from cmdiad.runtime.strategies import Answer


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

    with Inspector.load(calibrated_bundle, graph="networks") as inspector:
        first = inspector(scan).score
        assert own()
    assert not own()
    assert inspector(scan).score == first
    inspector.close()


def test_an_array_in_place_of_a_part_is_refused_with_what_makes_one(calibrated_bundle: Path) -> None:
    with pytest.raises(UsageError, match=r"part_from_arrays\(points\)"):
        Inspector.load(calibrated_bundle).inspect(np.zeros((9, 9, 3)))  # type: ignore[arg-type]
