"""ONNX Runtime's wheel for NVIDIA GPUs: whether it is what is installed, and what it lacks on this machine."""

from __future__ import annotations

import ctypes
import importlib.metadata
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .machine import Machine, this_machine

GPU_WHEEL = "onnxruntime-gpu"
# The wheels that may hold the module `onnxruntime`, and what each has besides the CPU; one at most may be installed.
ONNX_RUNTIMES: Mapping[str, str] = {
    "onnxruntime": "",
    GPU_WHEEL: "CUDA, TensorRT",
    "onnxruntime-trt-rtx": "TensorRT-RTX",
    "onnxruntime-openvino": "OpenVINO",
    "onnxruntime-directml": "DirectML",
    "onnxruntime-windowsml": "Windows ML",
    "onnxruntime-migraphx": "MIGraphX",
    "onnxruntime-rocm": "ROCm",
    "onnxruntime-qnn": "QNN",
    "onnxruntime-cann": "CANN",
    "onnxruntime-webgpu": "WebGPU",
    "onnxruntime-training": "CUDA",
    "onnxruntime-training-cpu": "",
}
INSTALL = "pip install 'cmdiad[gpu]'"
_CUDA_NEEDED = 13000


def installed_runtimes() -> dict[str, str]:
    """The versions of the wheels that hold the module `onnxruntime`, by name."""
    return {name: version for name in ONNX_RUNTIMES if (version := _version_of(name)) is not None}


def _version_of(wheel: str) -> str | None:
    """Plug-ins beside ONNX Runtime have names like such wheels, and do not hold the module."""
    try:
        installed = importlib.metadata.distribution(wheel)
    except importlib.metadata.PackageNotFoundError:
        return None
    holds_it = installed.files is None or any(file.as_posix() == "onnxruntime/__init__.py" for file in installed.files)
    return installed.version if holds_it else None


def gpu_remedy() -> str:
    """What to do where CUDA does not run in ONNX Runtime, by what is installed on this machine."""
    wheels, about_driver = list(installed_runtimes()), driver_remedy(this_machine())
    if wheels == [GPU_WHEEL]:
        return about_driver or f"check that CUDA 13 and cuDNN 9 are installed ({INSTALL} brings both)"
    first = f"pip uninstall {' '.join(wheels)}, then {INSTALL}" if wheels else INSTALL
    return f"{first}, and {about_driver}" if about_driver else first


def driver_remedy(machine: Machine) -> str | None:
    """What to do about the NVIDIA driver; None: it is new enough and shows a GPU."""
    if not machine.cuda_driver:
        return "install an NVIDIA driver for CUDA 13 (none was found; a container gets the host's with --gpus all)"
    if machine.cuda_driver < _CUDA_NEEDED:
        return f"update the NVIDIA driver to one for CUDA 13 (this one is for {machine.cuda_in_words()})"
    if not machine.gpus:
        return "make a GPU visible (none was found: `nvidia-smi` lists them, CUDA_VISIBLE_DEVICES may hide them)"
    return None


def why_not_loaded(ort: Any, provider: str) -> str:
    """The library that keeps a provider of this wheel from being loaded, in the system's words; empty if none does.

    ONNX Runtime writes this to standard error, which belongs to the whole process, and not into its exceptions.

    Args:
        ort: ONNX Runtime, which has tried to load it.
        provider: as `--provider` takes it.
    """
    library = Path(ort.__file__).parent / "capi" / f"libonnxruntime_providers_{provider}.so"
    if sys.platform != "linux" or not library.is_file():
        return ""
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        return str(error)
    return ""
