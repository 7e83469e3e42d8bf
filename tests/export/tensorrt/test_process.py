"""What a builder's process does to the export: nothing but an error, in whichever way it ends.

Stand-ins for the vendor's library end in the ways that a library can; none of them is TensorRT.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cmdiad.export.tensorrt import process as tensorrt_process
from cmdiad.export.tensorrt.builder import EngineGraph, EngineSettings
from cmdiad.export.tensorrt.process import build_apart
from cmdiad.runtime.bundle.manifest import Network, Tensor
from cmdiad.runtime.engines.flavor import FLAVORS
from cmdiad.runtime.engines.machine import Gpu, Machine
from cmdiad.runtime.errors import EngineError

HOPPER = Machine((Gpu("H100", "sm90", 80 << 30),), 13000, "580.65", "linux-x86_64")
TENSOR = Tensor(name="x", shape=["batch", 5], dtype="float32")
GRAPH = EngineGraph(Network(file="n.onnx", architecture="a", parameters=0, inputs=[TENSOR], outputs=[TENSOR]), b"graph")


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Put a module in standard TensorRT's place, where the child finds it."""

    def write(source):
        (tmp_path / "tensorrt.py").write_text(f"print('so far so good', flush=True)\n{source}\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return write


def build(flavor="tensorrt"):
    return build_apart(GRAPH, "extractor-x", FLAVORS[flavor], EngineSettings(), HOPPER)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_fault_in_the_library_is_an_error_with_its_last_words(library):
    library("import ctypes; ctypes.string_at(0)")
    with pytest.raises(EngineError, match=r"extractor-x: .*crashed \(SIGSEGV\).*so far so good") as error:
        build()
    assert error.value.exit_code == 5 and "\n" not in str(error.value)


def test_a_library_that_exits_is_an_error(library):
    library("import os; os._exit(0)")
    with pytest.raises(EngineError, match=r"crashed \(exit code 0\)"):
        build()


def test_what_does_not_end_is_ended(library, monkeypatch):
    library("import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()")
    monkeypatch.setattr(tensorrt_process, "LIMIT_SECONDS", {"tensorrt": 2.0})
    with pytest.raises(EngineError, match="did not end within 2 s"):
        build()


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="standard TensorRT is here")
def test_the_child_s_own_refusals_come_back_as_they_are():
    with pytest.raises(EngineError, match=r"^tensorrt is not installed: pip install") as error:
        build()
    assert error.value.kind == "engine"


def test_the_user_s_folder_is_not_searched_for_modules(library, tmp_path, monkeypatch):
    library("raise ImportError('the stand-in was found')")
    home = tmp_path / "home"
    home.mkdir()
    (home / "msgspec.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(home)
    with pytest.raises(EngineError, match="the stand-in was found"):
        build()


def test_the_child_finds_what_is_on_the_path_alone(tmp_path):
    """cmdiad is not installed here: it lies on PYTHONPATH, by a name that is relative to the caller's folder."""
    package = tmp_path / "lib" / "cmdiad"
    package.parent.mkdir()
    package.symlink_to(Path(tensorrt_process.__file__).parents[2])
    (tmp_path / "lib" / "tensorrt.py").write_text("raise ImportError('the stand-in was found')")
    site = next(path for path in sys.path if (Path(path) / "msgspec").is_dir())
    code = (
        "import cmdiad, pathlib\n"
        "from cmdiad.export.tensorrt import process\n"
        "from cmdiad.export.tensorrt.builder import EngineSettings, EngineGraph\n"
        "from cmdiad.runtime.engines.machine import Machine\n"
        "from cmdiad.runtime.engines.flavor import FLAVORS\n"
        "from cmdiad.runtime.bundle.manifest import Network, Tensor\n"
        "tensor = Tensor(name='x', shape=[5], dtype='float32')\n"
        "network = Network(file='n', architecture='a', parameters=0, inputs=[tensor], outputs=[tensor])\n"
        "graph = EngineGraph(network, b'g')\n"
        "machine = Machine((), 13000, '580', 'linux-x86_64')\n"
        "process.build_apart(graph, 'x', FLAVORS['tensorrt'], EngineSettings(), machine)\n"
    )
    # -S: no site-packages, and so no editable installation of this checkout that would be found in its place.
    answer = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["lib", site])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "the stand-in was found" in answer.stderr, answer.stderr
