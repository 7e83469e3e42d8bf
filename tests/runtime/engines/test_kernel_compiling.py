"""Kernels are compiled to binaries, which are kept, and trusted only if they are what was written."""

from types import SimpleNamespace

import pytest
from cmdiad.runtime.engines import kernel_compiling
from cmdiad.runtime.engines.device import Kernel
from cmdiad.runtime.engines.kernel_compiling import compile_kernel, cubin_of
from cmdiad.runtime.errors import EngineError

SOURCE = (
    '#include "part.cuh"\nextern "C" __global__ void f(float *a) { a[threadIdx.x] = FACTOR * a[threadIdx.x] + ADD; }'
)
ELF = b"\x7fELF"


@pytest.fixture(scope="module")
def nvrtc():
    module = pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-bindings is not installed")
    try:
        module.nvrtcVersion()
    except RuntimeError:
        pytest.skip("NVRTC is not installed: pip install nvidia-cuda-nvrtc")
    return module


@pytest.fixture
def kernel(tmp_path):
    (tmp_path / "f.cu").write_text(SOURCE)
    (tmp_path / "part.cuh").write_text("#define ADD 1.0f\n")
    return Kernel(tmp_path / "f.cu", "f", 32, definitions=(("FACTOR", 3),))


@pytest.fixture
def compiled(monkeypatch):
    """Which targets were compiled for."""
    targets = []

    def compile_and_tell(nvrtc, kernel, target):
        targets.append(target)
        return compile_kernel(nvrtc, kernel, target)

    monkeypatch.setattr(kernel_compiling, "compile_kernel", compile_and_tell)
    return targets


def test_a_kernel_is_compiled_once(nvrtc, kernel, tmp_path, compiled):
    first = cubin_of(nvrtc, kernel, "sm86", tmp_path / "cache")
    assert first.startswith(ELF)
    assert cubin_of(nvrtc, kernel, "sm86", tmp_path / "cache") == first
    assert compiled == ["sm86"]


def test_without_a_cache_nothing_is_kept(nvrtc, kernel, tmp_path, compiled):
    before = sorted(tmp_path.iterdir())
    assert cubin_of(nvrtc, kernel, "sm86", None) == cubin_of(nvrtc, kernel, "sm86", None)
    assert compiled == ["sm86", "sm86"] and sorted(tmp_path.iterdir()) == before


def test_another_target_symbol_source_or_header_is_compiled_anew(nvrtc, kernel, tmp_path, compiled):
    cache = tmp_path / "cache"
    made = {cubin_of(nvrtc, kernel, "sm86", cache), cubin_of(nvrtc, kernel, "sm89", cache)}
    made.add(cubin_of(nvrtc, Kernel(kernel.source, "f", 32, definitions=(("FACTOR", 4),)), "sm86", cache))
    (tmp_path / "part.cuh").write_text("#define ADD 2.0f\n")
    made.add(cubin_of(nvrtc, kernel, "sm86", cache))
    kernel.source.write_text(SOURCE.replace("+ ADD", "- ADD"))
    made.add(cubin_of(nvrtc, kernel, "sm86", cache))
    assert len(compiled) == len(made) == 5


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"", lambda content: b"x" + content])
def test_a_damaged_binary_is_compiled_anew(nvrtc, kernel, tmp_path, compiled, damage):
    cache = tmp_path / "cache"
    whole = cubin_of(nvrtc, kernel, "sm86", cache)
    (kept,) = cache.iterdir()
    kept.write_bytes(damage(kept.read_bytes()))
    assert cubin_of(nvrtc, kernel, "sm86", cache) == whole
    assert cubin_of(nvrtc, kernel, "sm86", cache) == whole
    assert compiled == ["sm86", "sm86"]


def test_a_cache_that_cannot_be_written_or_read_is_none(nvrtc, kernel, tmp_path, compiled):
    (tmp_path / "file").write_text("no folder")
    cubin_of(nvrtc, kernel, "sm86", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "no folder"
    cubin_of(nvrtc, kernel, "sm86", tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()
    kept.unlink()
    kept.mkdir()
    assert cubin_of(nvrtc, kernel, "sm86", tmp_path / "cache").startswith(ELF)
    assert len(compiled) == 3


def test_what_the_compiler_refuses_is_told(nvrtc, kernel):
    kernel.source.write_text(SOURCE.replace("threadIdx", "threadIndex"))
    with pytest.raises(EngineError, match=r"f\.cu: NVRTC cannot compile it for sm86 .*threadIndex.* is undefined"):
        compile_kernel(nvrtc, kernel, "sm86")


def test_a_target_that_the_compiler_does_not_know_is_told(nvrtc, kernel):
    with pytest.raises(EngineError, match=r"for sm999 .*pip install --upgrade nvidia-cuda-nvrtc"):
        compile_kernel(nvrtc, kernel, "sm999")


def test_without_nvrtc_the_command_is_told(kernel):
    def missing():
        raise RuntimeError("libnvrtc.so is not there")

    with pytest.raises(EngineError, match=r"NVRTC.*is not installed: pip install 'cmdiad\[gpu\]'"):
        compile_kernel(SimpleNamespace(nvrtcVersion=missing), kernel, "sm86")
