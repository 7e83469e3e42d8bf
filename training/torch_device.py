"""Where training computes, and how exactly."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from ..runtime.errors import EngineError
from ..runtime.threads import thread_count
from .choices import DeviceName


def open_device(name: DeviceName, threads: int | None) -> torch.device:
    """The device to train on; a GPU multiplies in TF32.

    Args:
        name: cpu, cuda, or auto: a GPU if there is one.
        threads: of the CPU; None: the processors this process may use.

    Raises:
        UsageError: fewer than one thread.
        EngineError: cuda was asked for and torch sees no GPU.
    """
    torch.set_num_threads(thread_count(threads))
    if name == "cuda" and not torch.cuda.is_available():
        raise EngineError("--device cuda: torch sees no GPU here: install its driver, or choose --device cpu")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    return torch.device("cuda")


def mixed_precision(device: torch.device, amp: bool) -> AbstractContextManager[object]:
    """bfloat16 where it is safe, on a GPU that was asked to; its range needs no scaling of the loss."""
    if amp and device.type == "cuda":
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()
