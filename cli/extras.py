"""What each command needs beyond the line's packages, looked for before any work."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence

from ..runtime.errors import UsageError

Modules = Mapping[str, Sequence[str]]

_RUN: Modules = {"cpu": ("onnxruntime",)}
_CALIBRATE: Modules = {"calibrate": ("sklearn", "onnx")}
_TRAIN: Modules = {"train": ("torch", "torchvision", "timm", "safetensors")}
_EXPORT: Modules = {"train": (*_TRAIN["train"], "onnx", "onnxscript")}
_EVALUATE: Modules = {"train": (*_EXPORT["train"], "sklearn")}
# By the command's name, groups included: the extras of pyproject.toml, with the modules of each that it imports.
# A command that is not here needs what every installation has.
NEEDS: Mapping[str, Modules] = {
    "demo": {**_RUN, **_EVALUATE},
    "train": _TRAIN,
    "export": {**_RUN, **_EXPORT},
    "calibrate": {**_RUN, **_CALIBRATE},
    "evaluate": {**_RUN, **_EVALUATE},
    "inspect": {"calibrate": ("onnx",)},
    "features in torch": _TRAIN,
    "weights verify": _TRAIN,
    "weights adopt": _TRAIN,
}


def require_extras(command: str) -> None:
    """Look for the modules that a command of `cmdiad` needs, without importing them.

    Raises:
        UsageError: one is not installed; the message has the line that installs what is missing.
    """
    needed = NEEDS.get(command, {})
    absent = [extra for extra, modules in needed.items() if not all(map(_is_installed, modules))]
    if absent:
        names = " and ".join(f"`{extra}`" for extra in absent)
        gpu = "; on a GPU `gpu` in place of `cpu`" if "cpu" in absent else ""
        raise UsageError(
            f"cmdiad {command} needs the extra{'s' * (len(absent) > 1)} {names}: "
            f"pip install 'cmdiad[{','.join(absent)}]'{gpu}"
        )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # the module was put into sys.modules by hand, as a test does
        return False
