"""What each command and public function needs beyond the line's packages, looked for before any work."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence

from .errors import UsageError

# Extras of pyproject.toml, with the modules of each that are imported.
Modules = Mapping[str, Sequence[str]]

_RUN: Modules = {"cpu": ("onnxruntime",)}
TRAIN: Modules = {"train": ("torch", "torchvision", "timm", "safetensors")}
EXPORT: Modules = {**_RUN, "train": (*TRAIN["train"], "onnx", "onnxscript")}
EVALUATE: Modules = {**_RUN, "train": (*EXPORT["train"], "sklearn")}
CALIBRATE: Modules = {**_RUN, "calibrate": ("sklearn", "onnx")}
SERVE: Modules = {**_RUN, "serve": ("fastapi", "uvicorn", "prometheus_client", "multipart")}
SIGN: Modules = {"sign": ("cryptography",)}
INSPECT: Modules = {"calibrate": ("onnx",)}
VIZ: Modules = {"viz": ("open3d",)}
FLEET: Modules = {"fleet": ("ray",)}


def require_extras(command: str, needed: Modules) -> None:
    """Look for the modules that a command of `cmdiad`, or the function of its name, needs, without importing them.

    Args:
        command: its name, groups included.
        needed: extras and their modules.

    Raises:
        UsageError: one is not installed; the message has the line that installs what is missing.
    """
    absent = [extra for extra, modules in needed.items() if not all(map(_is_installed, modules))]
    if absent:
        names = " and ".join(f"`{extra}`" for extra in absent)
        gpu = "; on a GPU `gpu` in place of `cpu`" if "cpu" in absent else ""
        raise UsageError(
            f"cmdiad {command} needs the extra{'s' * (len(absent) > 1)} {names}: "
            f"pip install 'cmdiad[{','.join(absent)}]'{gpu}"
        )


def has_extras(needed: Modules) -> bool:
    """Whether all modules of these extras are installed; none is imported."""
    return all(_is_installed(module) for modules in needed.values() for module in modules)


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # the module was put into sys.modules by hand, as a test does
        return False
