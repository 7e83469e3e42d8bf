"""A torch network behind the runtime's engine protocol: the same feature path before anything is exported."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ..runtime.engine import Arrays


class TorchEngine:
    """A network in eval mode, on the CPU."""

    def __init__(self, network: nn.Module, output: str) -> None:
        """Args: the network, and its output's name in the bundle."""
        self._network = network.eval()
        self._output = output

    def run(self, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Run the network; the inputs are its arguments, in order."""
        tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in inputs.values()]
        with torch.inference_mode():
            return {self._output: self._network(*tensors).numpy()}
