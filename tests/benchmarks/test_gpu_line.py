"""Which measures are made of a line, and which need a GPU."""

from types import SimpleNamespace

import pytest
from cmdiad.benchmarks import gpu_line
from cmdiad.benchmarks.gpu.bound_measures import Rival
from cmdiad.benchmarks.gpu.opened_line import OpenedLine
from cmdiad.benchmarks.gpu.paper_baseline import beside


def named_steps(provider, tmp_path):
    return {step.name: step for step in gpu_line.steps(OpenedLine(tmp_path, provider), gpu_line.WHOLE, [])}


def test_without_a_gpu_what_needs_one_says_so_and_nothing_else_is_left_out(tmp_path):
    steps = named_steps("cpu", tmp_path)
    left_out = {name for name, step in steps.items() if step.obstacle}
    assert {steps[name].obstacle for name in left_out} == {"needs an NVIDIA GPU"}
    assert left_out == {
        name for name in steps if "CUDA graph on" in name or name.startswith(("groups", "stages", "GPU memory"))
    }


def test_on_a_gpu_all_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_line, "shared_device", lambda provider: SimpleNamespace(name="cuda"))
    steps = named_steps("cuda", tmp_path)
    assert steps.keys() == named_steps("cpu", tmp_path).keys()
    assert not [name for name, step in steps.items() if step.obstacle]
    assert sum(name.startswith("selftest") for name in steps) == 2 * 2 * 2
    assert sum(name.startswith("points to score") for name in steps) == 2 * 2 * 4


def test_where_kernels_cannot_run_what_is_of_them_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_line, "shared_device", lambda provider: None)
    left_out = {name for name, step in named_steps("cuda", tmp_path).items() if step.obstacle}
    assert left_out == {"groups unlike NumPy's", "stages on the device, fp32", "stages on the device, fp16"}


@pytest.mark.parametrize(("ours", "says"), [(None, "skipped: ours was not measured; torch: 150 ms"), (10.0, "10.0 ms")])
def test_a_baseline_beside_what_was_not_measured_says_that(ours, says):
    assert beside("to map", ours, Rival("torch", 150.0), 10.0).as_row()[:2] == ["against the paper: to map", says]
