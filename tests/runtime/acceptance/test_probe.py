"""Whatever a provider does to the process that tries it, the doctor has one line of it. The providers are stand-ins."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
from cmdiad.runtime.acceptance import probe
from cmdiad.runtime.acceptance.probe import KERNELS, problem_apart, problem_here
from cmdiad.runtime.engines.flavor import FLAVORS, collecting_logger
from cmdiad.runtime.engines.plan_check import read_header
from cmdiad.runtime.engines.plan_probe import small_plan
from cmdiad.runtime.patches.grouped import group_on_cpu
from cmdiad.tests.runtime.engines.cuda_on_cpu.device import CudaOnCpu, needs_compiler

# The real ONNX Runtime as the GPU's wheel has it: two more providers, which do not load.
GPU_WHEEL = """
import os, sys
from pathlib import Path

sys.path = [place for place in sys.path if Path(place or ".").resolve() != Path(__file__).resolve().parent]
del sys.modules["onnxruntime"]
import onnxruntime

class InferenceSession(onnxruntime.InferenceSession):
    def _create_inference_session(self, providers, *arguments):
        names = [name for name, _ in providers or []]
        if names != ["CPUExecutionProvider"]:
            os.write(2, b"[E:onnxruntime:Default] Failed to load library libonnxruntime_providers.so\\n")
            {behavior}
        super()._create_inference_session(providers and ["CPUExecutionProvider"], *arguments)

onnxruntime.InferenceSession = InferenceSession
onnxruntime.get_available_providers = lambda: [
    "TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"
]
"""
REFUSES = 'if "TensorrtExecutionProvider" in names: raise RuntimeError("Please install TensorRT libraries")'


@pytest.fixture
def gpu_wheel(tmp_path, monkeypatch):
    """Put ONNX Runtime's stand-in where other processes find it first."""

    def write(behavior):
        (tmp_path / "onnxruntime.py").write_text(GPU_WHEEL.replace("{behavior}", behavior))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))

    return write


def test_what_a_library_says_is_kept(gpu_wheel):
    gpu_wheel(REFUSES)
    problem = problem_apart("tensorrt", "")
    assert "Please install TensorRT libraries" in problem and "its last output: [E:onnxruntime" in problem
    assert "'cuda' is not available" in problem_apart("cuda", "")
    assert problem_apart("cpu", "") is None


def test_the_missing_library_is_quoted_once(gpu_wheel, monkeypatch):
    """As where the wheel for GPUs is installed and the driver is not."""
    library = "libcuda.so.1: cannot open shared object file: No such file or directory"
    prints = f'os.write(2, b"Failed to load with error: {library}\\n\\x1b[mRequire cuDNN 9.* and CUDA 13.*\\n")'
    gpu_wheel(prints)
    problem = problem_apart("cuda", "")
    assert problem.endswith(f"its last output: {library}") and problem.count("libcuda") == 1
    gpu_wheel(f'{prints}; raise RuntimeError("{library}")')
    problem = problem_apart("cuda", "")
    assert "last output" not in problem and problem.count("libcuda") == 1 and "cuDNN" not in problem


def test_a_crash_is_a_problem(gpu_wheel):
    gpu_wheel("os.abort()")
    assert "crashed (SIGABRT); its last output: [E:onnxruntime" in problem_apart("cuda", "")


def test_what_does_not_end_is_ended(gpu_wheel, monkeypatch):
    gpu_wheel("import time; time.sleep(60)")
    monkeypatch.setattr(probe, "LIMIT_SECONDS", 3.0)
    assert "did not end within 3 s" in problem_apart("cuda", "")


def test_the_doctor_s_json_is_json_where_tensorrt_does_not_load(gpu_wheel, tmp_path):
    gpu_wheel(REFUSES)
    command = [sys.executable, "-c", "from cmdiad.cli.line import main; main()", "doctor", "--json"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    details = {finding["name"]: finding["detail"] for finding in json.loads(answer.stdout)["findings"]}
    assert "Please install TensorRT libraries" in details["tensorrt"]
    assert answer.stderr == ""


def test_a_small_engine_is_built_for_every_target_and_run_to_prove_it():
    """Without a driver no engine loads, whatever GPU is pretended: that is what a "yes" has to pass."""
    trt = pytest.importorskip("tensorrt_rtx")
    for target in FLAVORS["tensorrt-rtx"].targets:
        assert read_header(small_plan(trt, target, collecting_logger(trt))).targets == [target]
    if find_spec("polygraphy") is not None:  # not imported here: it binds itself to a flavor when it is
        assert "cannot load a small engine on this sm86" in problem_apart("tensorrt-rtx-engine", "sm86")


def test_the_cpu_runs_here():
    assert problem_here("cpu") is None


@needs_compiler
def test_kernels_are_proven_by_grouping_as_the_cpu_does(kernel_libraries, monkeypatch):
    monkeypatch.setattr(probe, "open_cuda_device", lambda: CudaOnCpu(kernel_libraries))
    assert problem_here(KERNELS) is None
    monkeypatch.setattr(
        probe, "group_on_cpu", lambda points, pixels, grouping: group_on_cpu(points + 1, pixels, grouping)
    )
    assert problem_here(KERNELS) is None, "the same groups, wherever they lie"
    monkeypatch.setattr(probe, "group_on_cpu", lambda points, *others: group_on_cpu(points[::-1].copy(), *others))
    assert "differently from the CPU" in problem_here(KERNELS)


def test_without_a_driver_kernels_are_a_problem_in_words():
    assert "pip install 'cmdiad[gpu]'" in (problem := problem_here(KERNELS)) or "NVIDIA driver" in problem
