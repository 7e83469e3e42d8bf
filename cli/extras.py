"""What each command needs beyond the line's packages, looked for before any work."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence

from ..runtime.errors import UsageError

# Extras of pyproject.toml, with what their commands import; `gpu` brings the same module as `cpu`.
MODULES: Mapping[str, Sequence[str]] = {
    "cpu": ("onnxruntime",),
    "calibrate": ("sklearn", "onnx"),
    "train": ("torch", "torchvision", "timm", "safetensors", "onnx", "onnxscript", "sklearn"),
}
# By the command's name, groups included; a command that is not here needs what the line has.
NEEDS: Mapping[str, Sequence[str]] = {
    "demo": ("cpu", "train"),
    "train": ("train",),
    "export": ("cpu", "train"),
    "calibrate": ("cpu", "calibrate"),
    "evaluate": ("cpu", "train"),
    "inspect": ("calibrate",),
    "weights list": ("train",),
    "weights verify": ("train",),
    "weights path": ("train",),
    "weights adopt": ("train",),
}


def require_extras(command: str, extras: Sequence[str]) -> None:
    """Look for the modules of extras, without importing them.

    Raises:
        UsageError: one is not installed; the message has the line that installs all that the command needs.
    """
    absent = [extra for extra in extras if not all(map(_is_installed, MODULES[extra]))]
    if absent:
        noun = "extra" if len(absent) == 1 else "extras"
        names = " and ".join(f"`{extra}`" for extra in absent)
        raise UsageError(
            f"cmdiad {command} needs the {noun} {names}: pip install 'cmdiad[{','.join(absent)}]'"
            + (" (`gpu` in place of `cpu` on a GPU)" if "cpu" in absent else "")
        )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # the module was put into sys.modules by hand, as a test does
        return False
