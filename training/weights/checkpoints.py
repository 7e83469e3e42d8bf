"""Weights from files, all of them or none: published checkpoints as they are, and our own.

A torch file is read with weights only: no code in it runs. Every tensor must be one that the network has, under its
name and in its shape, and every one of the network must be there. What else a published file holds is left alone by
name; anything that is neither is an error.
"""

from __future__ import annotations

import argparse
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ...runtime.errors import WeightsError

MAX_FILE_BYTES = 4 << 30
# Parallel training wraps a network, and its name with it.
_WRAPPER = "module."
_CODE = re.compile(r"GLOBAL ([\w.]+)")
# What published files hold beside tensors: the options of the run (CMDIAD, DINO) and metrics (Point-BERT).
# Both are plain values; they are read past, never used.
_HARMLESS: list[Any] = [
    argparse.Namespace,
    np.dtype,
    np.dtypes.Float64DType,
    np.dtypes.Float32DType,
    (np.float64(0).__reduce__()[0], "numpy.core.multiarray.scalar"),
    (np.float64(0).__reduce__()[0], "numpy._core.multiarray.scalar"),
]


@dataclass(frozen=True)
class CheckpointFormat:
    """How a file holds a network.

    Attributes:
        containers: entries that may hold the tensors; without any of them, the file itself does.
        prefix: what the network's names begin with where the file holds more than the network.
        left_alone: beginnings of names that belong to something else, expected and not read.
        left_alone_if_other: the same, of names that the network may have as well.
    """

    containers: tuple[str, ...] = ()
    prefix: str = ""
    left_alone: tuple[str, ...] = ()
    left_alone_if_other: tuple[str, ...] = ()


POINT_MAE = CheckpointFormat(
    ("base_model",), "MAE_encoder.", ("MAE_decoder.", "decoder_pos_embed.", "increase_dim.", "mask_token")
)
POINT_BERT = CheckpointFormat(
    ("base_model",),
    "transformer_q.",
    (
        "transformer_q.cls_head.",
        "transformer_q.lm_head.",
        "transformer_q.mask_token",
        "transformer_k.",
        "dvae.",
        "cls_head.",
        "lm_head.",
        "queue",
    ),
)
VIT = CheckpointFormat(("teacher", "state_dict", "model"), "backbone.", ("head.", "pre_logits."))
# A classifier goes by one of these names, and may hold layers that features need (ConvNeXt's head.norm).
CNN = CheckpointFormat(("state_dict", "model"), left_alone_if_other=("classifier.", "fc.", "head."))
# F2I's file holds a LayerNorm that its network never uses.
CMDIAD = CheckpointFormat(("model",), left_alone=("norm.",))


def load_checkpoint(network: nn.Module, path: Path, layout: CheckpointFormat) -> None:
    """Load a file into a network, in place.

    Raises:
        WeightsError: the file is not readable or too large, or a name is missing, unexpected or of another shape.
    """
    own = network.state_dict()
    tensors = read_checkpoint(path, layout)
    other = layout.left_alone_if_other or ("\0",)
    needed = {name: value for name, value in tensors.items() if name in own or not name.startswith(other)}
    fill_network(network, needed, str(path))


def read_checkpoint(path: Path, layout: CheckpointFormat) -> dict[str, Tensor]:
    """A file's tensors under the network's own names, those left alone not among them.

    Raises:
        WeightsError: the file is missing, too large, damaged, or holds no tensors.
    """
    content = _read_file(path)
    for container in layout.containers:
        if isinstance(content.get(container), Mapping):
            content = content[container]
            break
    tensors = {str(name).removeprefix(_WRAPPER): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        places = " or ".join(layout.containers) or "the file"
        raise WeightsError(f"{path}: holds no weights in {places}: give the checkpoint as it was published")
    own = {name: value for name, value in tensors.items() if not name.startswith(layout.left_alone or ("\0",))}
    if any(name.startswith(layout.prefix) for name in own):
        return {name.removeprefix(layout.prefix): value for name, value in own.items()}
    return own


def fill_network(network: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load tensors that must be exactly the network's.

    Raises:
        WeightsError: they are not; names every one that is missing, unexpected or of another shape.
    """
    expected = network.state_dict()
    faults = {
        "missing": sorted(expected.keys() - tensors.keys()),
        "unexpected": sorted(tensors.keys() - expected.keys()),
        "of another shape": [
            f"{name} {tuple(tensors[name].shape)} instead of {tuple(value.shape)}"
            for name, value in expected.items()
            if name in tensors and tensors[name].shape != value.shape
        ],
    }
    reasons = [f"{fault} {', '.join(names)}" for fault, names in faults.items() if names]
    if reasons:
        raise WeightsError(f"{where}: does not hold this network's weights: {'; '.join(reasons)}: give the right file")
    network.load_state_dict(dict(tensors))


def _read_file(path: Path) -> dict[Any, Any]:
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise WeightsError(f"{path}: has {size} bytes, more than the {MAX_FILE_BYTES} that are read")
        if path.suffix == ".safetensors":
            return load_file(path)
        return _read_torch_file(path)
    except OSError as cause:
        raise WeightsError(f"{path}: the weights cannot be read ({cause.strerror or cause})") from cause
    except (SafetensorError, zipfile.BadZipFile, EOFError, RuntimeError, ValueError, KeyError, MemoryError) as cause:
        raise WeightsError(f"{path}: is damaged or no weights file ({_first_line(cause)}): get it again") from cause
    except pickle.UnpicklingError as cause:
        # Torch's own text tells how to run such a file all the same.
        held = _CODE.search(str(cause))
        if held is None:
            raise WeightsError(f"{path}: is damaged or no weights file: get it again") from cause
        raise WeightsError(
            f"{path}: holds {held[1]} next to its weights, and code in a file is never run: save only its tensors"
        ) from cause


def _read_torch_file(path: Path) -> dict[Any, Any]:
    archive = zipfile.is_zipfile(path)
    if archive:
        with zipfile.ZipFile(path) as members:
            if any(member.compress_type != zipfile.ZIP_STORED for member in members.infolist()):
                raise WeightsError(f"{path}: is a compressed archive, which torch never writes: get it again")
    with torch.serialization.safe_globals(_HARMLESS), warnings.catch_warnings():
        # Torch warns of oddities in files that it then refuses.
        warnings.simplefilter("ignore")
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: holds a {type(content).__name__}, not weights by name: save a state_dict")
    return content


def _first_line(cause: BaseException) -> str:
    return (str(cause).splitlines() or [type(cause).__name__])[0][:200]
