"""A stream of parts: an outcome for each, in order, whatever goes wrong with one of them."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cmdiad.runtime import stream
from cmdiad.runtime.errors import (
    BundleError,
    EngineError,
    InternalError,
    MachineError,
    NotFiniteError,
    OutputError,
    ScanError,
)
from cmdiad.runtime.inspection import Inspection
from cmdiad.runtime.preparation.image_view import view_image
from cmdiad.runtime.stream import inspect_stream

SHAPE = (8, 6)
ERRORS: list[tuple[Exception, type[Exception]]] = [
    (ScanError("is empty"), ScanError),
    (BundleError("memory bank: rows missing"), BundleError),
    (EngineError("ONNX Runtime cannot run the network: device lost"), EngineError),
    (NotFiniteError("a score of nan"), NotFiniteError),
    (MemoryError("4 GiB"), MachineError),
    (OSError(errno.EIO, "Input/output error"), MachineError),
    (ZeroDivisionError("division by zero"), InternalError),
]


def inspection(score: float = 1.0, points: bool = False) -> Inspection:
    return Inspection(
        product="gland",
        score=score,
        threshold=2.0,
        is_defect=score > 2.0,
        map=np.ones(SHAPE, np.float32),
        pixel_threshold=2.0,
        points=np.ones((*SHAPE, 3), np.float32) if points else None,
        rgb=None,
        valid=np.ones(SHAPE, bool),
        view=view_image(np.ones(SHAPE, bool)),
        seconds={"read": 0.1},
    )


class Scripted:
    """An inspector whose answers are written down: what each step does with a scan's name."""

    def __init__(
        self,
        read: Callable[[str], None] = lambda name: None,
        finish: Callable[[str], None] = lambda name: None,
        batch: int = 1,
        scores: dict[str, float] | None = None,
        side_by_side: bool = False,
        points: bool = False,
    ) -> None:
        self._points = points
        self.threads, self.side_by_side = 2, side_by_side
        self._read, self._finish, self.batch, self._scores = read, finish, batch, scores or {}
        self.batches: list[int] = []

    def read(self, path: Path) -> str:
        self._read(path.stem)
        return path.stem

    def finish(self, ready: str) -> Inspection:
        self._finish(ready)
        return inspection(self._scores.get(ready, 1.0), self._points)

    def finish_batch(self, parts: Sequence[str]) -> list[Inspection]:
        self.batches.append(len(parts))
        return [self.finish(ready) for ready in parts]


def failing(name: str, error: Exception) -> Callable[[str], None]:
    def step(of: str) -> None:
        if of == name:
            raise error

    return step


def run(inspector: Any, count: int = 5, out: Path | None = None, **more: Any) -> list[stream.Outcome]:
    return list(inspect_stream(inspector, (Path(f"{number}.tiff") for number in range(count)), out, **more))


@pytest.mark.parametrize("side_by_side", [False, True])
@pytest.mark.parametrize("step", ["read", "finish"])
@pytest.mark.parametrize(("error", "kind"), ERRORS, ids=[type(error).__name__ for error, _ in ERRORS])
def test_an_error_of_any_kind_is_that_parts_outcome_and_names_it(
    step: str, error: Exception, kind: type[Exception], side_by_side: bool
) -> None:
    outcomes = run(Scripted(side_by_side=side_by_side, **{step: failing("2", error)}))  # type: ignore[arg-type]
    assert [outcome.scan.stem for outcome in outcomes] == list("01234")
    assert [outcome.inspection is None for outcome in outcomes] == [False, False, True, False, False]
    found = outcomes[2].error
    assert isinstance(found, kind) and str(found).startswith("2.tiff: ")
    assert outcomes[2].as_json() == {"scan": "2.tiff", "error": {"kind": found.kind, "message": str(found)}}


def test_a_bug_keeps_its_traceback() -> None:
    bug = ZeroDivisionError("division by zero")
    (outcome,) = run(Scripted(finish=failing("0", bug)), 1)
    assert outcome.error is not None and outcome.error.__cause__ is bug and outcome.error.exit_code == 70


@pytest.mark.parametrize("side_by_side", [False, True])
def test_ctrl_c_ends_the_stream_after_the_outcomes_before_it(side_by_side: bool) -> None:
    threads = threading.active_count()
    outcomes: Iterator[stream.Outcome] = inspect_stream(
        Scripted(finish=failing("2", KeyboardInterrupt()), side_by_side=side_by_side),  # type: ignore[arg-type]
        [Path(f"{number}.tiff") for number in range(5)],
    )
    names = []
    with pytest.raises(KeyboardInterrupt):
        for outcome in outcomes:
            names.append(outcome.scan.stem)  # noqa: PERF401 - what came before the interruption counts
    assert names == sorted(names) and set(names) <= {"0", "1"}
    assert threading.active_count() == threads


def test_a_failed_batch_goes_one_by_one_and_says_so() -> None:
    inspector = Scripted(finish=failing("1", EngineError("out of device memory")), batch=2)
    steps = stream._Steps(inspector, None, "all")  # type: ignore[arg-type]
    jobs = [steps.read(stream._Job(Path(f"{number}.tiff"))) for number in range(2)]
    with pytest.warns(UserWarning, match=r"a batch of 2 parts failed.*out of device memory"):
        inspected = steps.inspect(jobs)
    assert [job.error is None for job in inspected] == [True, False]
    assert inspector.batches == [2]


def test_a_part_that_cannot_be_read_leaves_the_batch_to_the_others() -> None:
    inspector = Scripted(read=failing("1", ScanError("is empty")), batch=3)
    steps = stream._Steps(inspector, None, "all")  # type: ignore[arg-type]
    inspected = steps.inspect([steps.read(stream._Job(Path(f"{number}.tiff"))) for number in range(3)])
    assert [job.inspection is None for job in inspected] == [False, True, False]
    assert [job.scan.stem for job in inspected] == ["0", "1", "2"] and inspector.batches == [2]


def test_side_by_side_parts_are_in_the_networks_at_the_same_time() -> None:
    """Neither of two is finished before the other one has come to its networks."""
    together = threading.Barrier(2)
    outcomes = run(Scripted(finish=lambda name: together.wait(timeout=30) and None, side_by_side=True), 6)
    assert [outcome.scan.stem for outcome in outcomes] == list("012345")
    assert all(outcome.error is None for outcome in outcomes)


def test_a_full_disk_does_not_take_the_verdict_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, map_hw: Any) -> None:
        raise OutputError(f"{path}: cannot be written: No space left on device")

    monkeypatch.setattr("cmdiad.runtime.inspection.write_map", full)
    for outcome in run(Scripted(scores={"1": 3.0}), 3, tmp_path):
        assert isinstance(outcome.error, OutputError) and outcome.error.exit_code == 74
        answer = outcome.as_json()
        assert answer["is_defect"] == (outcome.scan.stem == "1")
        assert answer["map"] is None and answer["error"]["kind"] == "output"
        assert outcome.heatmap is not None and outcome.heatmap.is_file()


def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file, not a folder")
    (outcome,) = run(Scripted(), 1, tmp_path / "out")
    assert isinstance(outcome.error, OutputError) and outcome.inspection is not None


@pytest.mark.parametrize(("written", "names"), [("all", "01234"), ("defects", "3"), ("none", "")])
def test_files_are_written_of_the_parts_that_were_asked_for(tmp_path: Path, written: Any, names: str) -> None:
    outcomes = run(Scripted(scores={"3": 9.0}), out=tmp_path, written=written)
    assert "".join(outcome.scan.stem for outcome in outcomes if outcome.map is not None) == names
    assert len(list(tmp_path.rglob("*_map.tiff"))) == len(list(tmp_path.rglob("*_heatmap.png"))) == len(names)


@pytest.mark.parametrize(("clouds", "names"), [("all", "01234"), ("defects", "3"), ("none", "")])
def test_clouds_are_written_of_the_parts_that_were_asked_for_and_timed(tmp_path: Path, clouds: Any, names: str) -> None:
    inspector = Scripted(scores={"3": 9.0}, points=True)
    outcomes = run(inspector, out=tmp_path, written="none", clouds=clouds)
    assert "".join(outcome.scan.stem for outcome in outcomes if outcome.cloud is not None) == names
    for outcome in outcomes:
        assert outcome.inspection is not None and ("write" in outcome.inspection.seconds) == (outcome.cloud is not None)
        assert outcome.as_json()["cloud"] == (None if outcome.cloud is None else str(outcome.cloud))
    assert len(list(tmp_path.rglob("*_cloud.ply"))) == len(names) and not list(tmp_path.rglob("*.png"))


def test_a_part_without_points_has_no_cloud_and_says_so(tmp_path: Path) -> None:
    (outcome,) = run(Scripted(), 1, tmp_path, clouds="all")
    assert outcome.cloud is None and outcome.heatmap is not None and "needs points" in str(outcome.error)


def test_scans_are_taken_from_any_iterable_a_few_ahead() -> None:
    taken = []

    def endless() -> Iterator[Path]:
        for number in range(10**9):
            taken.append(number)
            yield Path(f"{number}.tiff")

    outcomes = inspect_stream(Scripted(), endless())  # type: ignore[arg-type]
    assert [next(outcomes).scan.stem for _ in range(3)] == ["0", "1", "2"]
    outcomes.close()  # type: ignore[attr-defined]
    assert len(taken) < 20
