"""CUDA C becomes a binary for one compute capability, by NVRTC, and is kept for the next start.

To a binary and never to PTX: a driver older than the compiler refuses the compiler's PTX. Arithmetic is IEEE's, as
NumPy's is: no fused multiply-add, no fast math.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import EngineError
from ..files.user_cache import keep, read_kept, user_cache
from .device import Kernel

OPTIONS = ("--std=c++17", "--fmad=false", "--ftz=false", "--prec-div=true", "--prec-sqrt=true")


def cubin_of(nvrtc: Any, kernel: Kernel, target: str, cache: Path | None) -> bytes:
    """The binary of a kernel's source, from the cache where it is there and whole.

    Args:
        nvrtc: `cuda.bindings.nvrtc`.
        kernel: what to compile.
        target: the compute capability, such as sm86.
        cache: a folder of binaries; None: none is kept.

    Raises:
        EngineError: NVRTC is missing or refuses the source or the target.
    """
    if cache is None:
        return compile_kernel(nvrtc, kernel, target)
    kept = cache / f"{_key(nvrtc, kernel, target)}.cubin"
    cubin = read_kept(kept)
    if cubin is None:
        cubin = compile_kernel(nvrtc, kernel, target)
        keep(kept, cubin)
    return cubin


def compile_kernel(nvrtc: Any, kernel: Kernel, target: str) -> bytes:
    """The binary of a kernel's source, compiled now.

    Raises:
        EngineError: NVRTC is missing or refuses the source or the target.
    """
    nvrtc_version(nvrtc)
    options = [option.encode() for option in _options(kernel, target)]
    source = kernel.source.read_bytes()
    status, program = nvrtc.nvrtcCreateProgram(source, kernel.source.name.encode(), 0, [], [])
    _check(nvrtc, status, kernel, target)
    try:
        (status,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            raise _refused(kernel, target, f"{status.name}: {_log(nvrtc, program)}")
        status, size = nvrtc.nvrtcGetCUBINSize(program)
        _check(nvrtc, status, kernel, target)
        cubin = b" " * size
        (status,) = nvrtc.nvrtcGetCUBIN(program, cubin)
        _check(nvrtc, status, kernel, target)
        return cubin
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def nvrtc_version(nvrtc: Any) -> tuple[int, int]:
    """NVRTC's version.

    Raises:
        EngineError: its library is not installed.
    """
    try:
        status, major, minor = nvrtc.nvrtcVersion()
    except RuntimeError as cause:
        raise EngineError(
            "NVRTC, which compiles the kernels for this GPU, is not installed: pip install 'cmdiad[gpu]'"
        ) from cause
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise EngineError(f"NVRTC does not start ({status.name}): pip install --force-reinstall nvidia-cuda-nvrtc")
    return major, minor


def kernel_cache() -> Path:
    """Where compiled kernels are kept."""
    return user_cache("kernels")


def _options(kernel: Kernel, target: str) -> Iterator[str]:
    yield f"--gpu-architecture={target.replace('sm', 'sm_', 1)}"
    yield f"--include-path={kernel.source.parent}"
    yield from OPTIONS
    for symbol, value in kernel.definitions:
        yield f"--define-macro={symbol}={value}"


def _key(nvrtc: Any, kernel: Kernel, target: str) -> str:
    """What the binary depends on: the source and what it may include, the options, NVRTC's version, the target."""
    sources = [kernel.source, *sorted(kernel.source.parent.glob("*.cuh"))]
    options = [option for option in _options(kernel, target) if not option.startswith("--include-path")]
    digest = hashlib.sha256(repr((nvrtc_version(nvrtc), target, options)).encode())
    for source in sources:
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    return digest.hexdigest()


def _log(nvrtc: Any, program: Any) -> str:
    """What the compiler says, on one line."""
    _, size = nvrtc.nvrtcGetProgramLogSize(program)
    log = b" " * size
    nvrtc.nvrtcGetProgramLog(program, log)
    return " ".join(log.rstrip(b"\0 ").decode(errors="replace").split())


def _check(nvrtc: Any, status: Any, kernel: Kernel, target: str) -> None:
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise _refused(kernel, target, status.name)


def _refused(kernel: Kernel, target: str, reason: str) -> EngineError:
    return EngineError(
        f"{kernel.source.name}: NVRTC cannot compile it for {target} ({reason}): "
        "a newer GPU needs a newer compiler: pip install --upgrade nvidia-cuda-nvrtc"
    )
