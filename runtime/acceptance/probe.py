"""One provider, one process: it is tried where a crash, a hang or what it prints harms nobody."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import numpy as np

from ..bundle.parameters import Grouping
from ..child_python import child_environment, ending, last_words, missing_library
from ..engines.cuda import open_cuda_device
from ..engines.device import Device
from ..engines.flavor import FLAVORS
from ..engines.opening import ENGINE_PROVIDERS
from ..engines.plan_probe import run_small_engine
from ..engines.session import OnnxSession
from ..errors import CmdiadError
from ..patches.gpu.device_grouper import DeviceGrouper
from ..patches.grouped import group_on_cpu

KERNELS = "kernels"
# Standard TensorRT loads gigabytes of kernels before it builds anything.
LIMIT_SECONDS = 180.0
ANSWER = "answer.json"

# y = x @ x for x of (2, 2) float32, opset 13: a network that no provider can refuse
# (tests/runtime/engines/test_providers.py).
PROBE = bytes.fromhex(
    "08083a440a110a01780a017812017922064d61744d756c120570726f62655a130a0178120e0a0c080112080a0208020a0208"
    "0262130a0179120e0a0c080112080a0208020a02080242040a00100d"
)


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """The child's answer; `problem` is None where the provider ran."""

    problem: str | None


def problem_apart(provider: str, target: str) -> str | None:
    """Why a provider does not run a small network here, found in a process of its own; None if it does.

    Args:
        provider: as `--provider` takes it, or `KERNELS`.
        target: the compute capability of the first GPU; empty: there is none.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            child = subprocess.run(
                [sys.executable, "-m", __name__, provider, target],
                cwd=folder,
                env=child_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=LIMIT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as cause:
            return f"a small network did not end within {LIMIT_SECONDS:g} s{last_words(cause.stdout or b'')}"
        answer = Path(folder) / ANSWER
        if not answer.is_file():
            return f"a small network crashed ({ending(child.returncode)}){last_words(child.stdout)}"
        problem = msgspec.json.decode(answer.read_bytes(), type=Tried).problem
    # A library that the problem names is what all the output was about.
    return problem if problem is None or missing_library(problem) else problem + last_words(child.stdout)


def problem_here(provider: str, target: str = "") -> str | None:
    """The same in this process, where what libraries print is printed."""
    try:
        if provider in ENGINE_PROVIDERS:
            run_small_engine(FLAVORS[ENGINE_PROVIDERS[provider]], target)
        elif provider == KERNELS:
            return _kernel_problem(open_cuda_device())
        else:
            OnnxSession(PROBE, provider, threads=1).run({"x": np.eye(2, dtype=np.float32)})
    except CmdiadError as error:
        return str(error)
    return None


def _kernel_problem(device: Device) -> str | None:
    """Why a device's kernels do not group some points as NumPy does; None if they do."""
    pixels = np.arange(512)
    points = np.random.default_rng(0).integers(0, 9, (512, 3)).astype(np.float32)
    grouping = Grouping(n_groups=16, group_size=32)
    made, expected = DeviceGrouper(device)(points, pixels, grouping), group_on_cpu(points, pixels, grouping)
    if np.array_equal(made.center_idx, expected.center_idx) and np.array_equal(made.groups, expected.groups):
        return None
    return "kernels group points differently from the CPU: update the driver, and report it; --provider cpu is correct"


if __name__ == "__main__":
    Path(ANSWER).write_bytes(msgspec.json.encode(Tried(problem=problem_here(sys.argv[1], sys.argv[2]))))
