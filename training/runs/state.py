"""A training that can be killed at any moment: all it needs to go on, in one file that is whole or not there.

Nothing else has to be kept: the order of the samples is a function of the seed and the epoch, and no layer of the
networks draws random numbers while it learns.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load as decode_safetensors
from safetensors.torch import save as encode_safetensors
from torch import Tensor, nn

from ...runtime.bundle.parameters import Modality
from ...runtime.errors import UsageError
from ...runtime.files.atomic import atomic_write_bytes

STATE = "state.safetensors"
CHECKPOINTS = "checkpoints"
_NETWORK, _OPTIMIZER = "network.", "optimizer."


class Epoch(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the log.

    Attributes:
        epoch: from 1.
        learning_rate: of its steps.
        loss: the mean over samples, all directions together.
        detection: for every main modality the detection of the network at this epoch's end, where it was judged.
    """

    epoch: int
    learning_rate: float
    loss: float
    detection: dict[Modality, float] = {}


def save_state(folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer, log: list[Epoch]) -> None:
    """Write the state after the log's last epoch in place of an earlier one."""
    tensors = {_NETWORK + name: value for name, value in network.state_dict().items()}
    for index, entries in optimizer.state_dict()["state"].items():
        tensors.update({f"{_OPTIMIZER}{index}.{name}": value for name, value in entries.items()})
    stored = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    atomic_write_bytes(folder / STATE, encode_safetensors(stored, {"log": msgspec.json.encode(log).decode()}))


def load_state(folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> list[Epoch]:
    """Bring network and optimizer to where a run stopped.

    Returns:
        The log of the epochs that are done; empty where there is no state.

    Raises:
        UsageError: the state is not this network's.
    """
    path = folder / STATE
    if not path.exists():
        return []
    try:
        content = path.read_bytes()
        tensors, log = decode_safetensors(content), msgspec.json.decode(_metadata(content)["log"], type=list[Epoch])
        network.load_state_dict(_within(tensors, _NETWORK))
        optimizer.load_state_dict(optimizer.state_dict() | {"state": _optimizer_entries(tensors)})
    except (SafetensorError, RuntimeError, KeyError, msgspec.MsgspecError, TypeError) as cause:
        raise UsageError(f"{path}: is not the state of this training ({cause}): remove the folder") from cause
    return log


def checkpoint_path(folder: Path, epoch: int) -> Path:
    """Where a checkpoint's weights lie."""
    return folder / CHECKPOINTS / f"epoch_{epoch:03d}.safetensors"


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read what `save_weights` wrote; safetensors itself opens no file whose name is not UTF-8.

    Raises:
        RuntimeError: the file does not hold tensors.
    """
    try:
        return decode_safetensors(path.read_bytes())
    except SafetensorError as cause:
        raise RuntimeError(str(cause)) from cause


def save_weights(path: Path, weights: dict[str, Tensor]) -> None:
    """Write weights, whole or not at all."""
    atomic_write_bytes(
        path, encode_safetensors({name: value.detach().cpu().contiguous() for name, value in weights.items()})
    )


def _metadata(content: bytes) -> dict[str, str]:
    """The texts in the header of a safetensors file: a length of eight bytes, then JSON."""
    length = int.from_bytes(content[:8], "little")
    metadata: dict[str, str] = msgspec.json.decode(content[8 : 8 + length])["__metadata__"]
    return metadata


def _within(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _optimizer_entries(tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    entries: dict[int, dict[str, Tensor]] = {}
    for name, value in _within(tensors, _OPTIMIZER).items():
        index, _, entry = name.partition(".")
        entries.setdefault(int(index), {})[entry] = value
    return entries
