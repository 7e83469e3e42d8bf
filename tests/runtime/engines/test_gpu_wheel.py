"""What to do where CUDA does not run depends on what is installed already; the machines are pretended."""

import sys
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import pytest
from cmdiad.runtime.engines import gpu_wheel
from cmdiad.runtime.engines.gpu_wheel import gpu_remedy, installed_runtimes, why_not_loaded
from cmdiad.runtime.engines.machine import Gpu, Machine
from cmdiad.runtime.engines.providers import PROVIDERS, missing

GPUS = (Gpu("pretended", "sm86", 1 << 33),)
NO_DRIVER, OLD = Machine((), 0, "", "linux-x86_64"), Machine(GPUS, 12040, "550.54", "linux-x86_64")
HIDDEN, WHOLE = Machine((), 13010, "590.1", "linux-x86_64"), Machine(GPUS, 13000, "580.65", "linux-x86_64")
UNINSTALLED = "pip uninstall {}, then pip install 'cmdiad[gpu]'"
DRIVER = "install an NVIDIA driver for CUDA 13 (none was found; a container gets the host's with --gpus all)"


@pytest.fixture
def having(monkeypatch):
    """Pretend wheels and a machine."""

    def pretend(wheels, machine):
        def distribution(name):
            if name not in wheels:
                raise PackageNotFoundError(name)
            return SimpleNamespace(version="1.31.1", files=None)

        monkeypatch.setattr(gpu_wheel.importlib.metadata, "distribution", distribution)
        monkeypatch.setattr(gpu_wheel, "this_machine", lambda: machine)

    return pretend


@pytest.mark.parametrize(
    ("wheels", "machine", "remedy"),
    [
        (["onnxruntime-gpu"], NO_DRIVER, DRIVER),
        (["onnxruntime-gpu"], OLD, "update the NVIDIA driver to one for CUDA 13 (this one is for 12.4)"),
        (
            ["onnxruntime-gpu"],
            HIDDEN,
            "make a GPU visible (none was found: `nvidia-smi` lists them, CUDA_VISIBLE_DEVICES may hide them)",
        ),
        (
            ["onnxruntime-gpu"],
            WHOLE,
            "check that CUDA 13 and cuDNN 9 are installed (pip install 'cmdiad[gpu]' brings both)",
        ),
        (["onnxruntime"], WHOLE, UNINSTALLED.format("onnxruntime")),
        (["onnxruntime"], NO_DRIVER, f"{UNINSTALLED.format('onnxruntime')}, and {DRIVER}"),
        (["onnxruntime", "onnxruntime-gpu"], WHOLE, UNINSTALLED.format("onnxruntime onnxruntime-gpu")),
        ([], WHOLE, "pip install 'cmdiad[gpu]'"),
    ],
)
def test_the_remedy_is_for_what_is_there(having, wheels, machine, remedy):
    having(wheels, machine)
    assert list(installed_runtimes()) == wheels
    assert gpu_remedy() == remedy
    assert str(missing(PROVIDERS["cuda"])).endswith(f"on this machine: {remedy}; or choose --provider cpu")
    assert f"{remedy}, and put TensorRT 10 on the library path" in str(missing(PROVIDERS["tensorrt"]))
    assert "NVIDIA driver for" not in str(missing(PROVIDERS["tensorrt-rtx"]))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system names no library")
def test_the_system_says_why_a_provider_is_not_loaded(tmp_path):
    ort = SimpleNamespace(__file__=str(tmp_path / "__init__.py"))
    assert why_not_loaded(ort, "cuda") == "", "the CPU's wheel has no such library"
    library = tmp_path / "capi" / "libonnxruntime_providers_cuda.so"
    library.parent.mkdir()
    library.write_bytes(b"not a library")
    assert str(library) in why_not_loaded(ort, "cuda")
