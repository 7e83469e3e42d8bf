"""A step is kept by its key, replaced as a whole, and gone without a trace where it fails."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from cmdiad.fleet.step_folder import RESULT, made_or_kept, step_key


class Answer(msgspec.Struct, frozen=True):
    value: int


def answer(value: int):
    def make(folder: Path) -> Answer:
        (folder / "file").write_text(str(value))
        return Answer(value)

    return make


def test_the_same_key_keeps_and_another_makes_anew(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "step"
    assert made_or_kept(folder, "a", Answer, answer(1)) == (Answer(1), False)
    assert made_or_kept(folder, "a", Answer, answer(2)) == (Answer(1), True)
    assert made_or_kept(folder, "b", Answer, answer(3)) == (Answer(3), False)
    assert (folder / "file").read_text() == "3"


def test_what_is_not_whole_any_more_is_made_anew(tmp_path: Path) -> None:
    made_or_kept(tmp_path / "step", "a", Answer, answer(1))
    assert made_or_kept(tmp_path / "step", "a", Answer, answer(2), lambda _: False) == (Answer(2), False)
    (tmp_path / "step" / RESULT).write_text('{"key": "a", "resu')
    assert made_or_kept(tmp_path / "step", "a", Answer, answer(3)) == (Answer(3), False)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_step_that_fails_leaves_the_one_before_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    made_or_kept(tmp_path / "step", "a", Answer, answer(1))

    def fail(folder: Path) -> Answer:
        (folder / "file").write_text("half")
        raise error

    with pytest.raises(error):
        made_or_kept(tmp_path / "step", "b", Answer, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["step"]
    assert made_or_kept(tmp_path / "step", "a", Answer, fail) == (Answer(1), True)


def test_keys_differ_by_step_and_by_every_input() -> None:
    keys = {step_key("a", x=1, y=[1]), step_key("b", x=1, y=[1]), step_key("a", x=2, y=[1]), step_key("a", x=1, y=[2])}
    assert len(keys) == 4 and step_key("a", x=1, y=2) == step_key("a", y=2, x=1)
