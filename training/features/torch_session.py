"""A torch network behind the runtime's session protocol: the same feature path before anything is exported."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ...runtime.engines.session import Arrays

CPU = torch.device("cpu")


class TorchSession:
    """A network in eval mode on a device; arguments in the order of the runtime's names."""

    def __init__(self, network: nn.Module, output: str, device: torch.device = CPU) -> None:
        """Bring a network to a device.

        Args:
            network: its arguments are the inputs.
            output: its output's name in the bundle.
            device: where it runs.
        """
        self._network, self._output, self._device = network.to(device).eval(), output, device

    def run(self, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Run the network; the inputs are its arguments, in order."""
        with torch.inference_mode():
            tensors = [torch.from_numpy(np.ascontiguousarray(array)).to(self._device) for array in inputs.values()]
            return {self._output: self._network(*tensors).float().cpu().numpy()}
