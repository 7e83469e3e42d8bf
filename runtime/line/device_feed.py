"""Parts go into the line graph from the device's own memory: points and pixels go up, score and map come down.

Everything between is queued on one stream: the copies up, the grouping's kernels, the graph, the copies down. Memory is
allocated once for every padded size, so that a captured CUDA graph finds it where it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..bundle.manifest import Network, Tensor
from ..bundle.parameters import Grouping
from ..engines.device import Device
from ..engines.device_session import BoundRun, DeviceSession, DeviceTensor
from ..engines.opening import Observer
from ..engines.plan_check import LINE_ROLE
from ..patches.gpu.device_grouping import DeviceGrouping
from ..patches.gpu.packing import PartPoints
from ..patches.grouping import require_group
from ..preparation.prepared_part import PreparedPart
from .host_feed import GraphOutputs, LineRun
from .line_part import BatchLayout, LinePart, line_part

# Inputs that the device's own kernels make.
GROUPED = ("groups", "centers", "pooling")

HostArrays = dict[str, npt.NDArray[Any]]


@dataclass
class _Room:
    """Memory for batches of one size: B parts of P patches.

    Attributes:
        staged: page-locked arrays of the inputs that are copied up.
        landed: page-locked arrays of the outputs that were asked for, as they are.
        inputs, outputs: on the device.
        bound: the session at these places; None before the first batch.
    """

    staged: HostArrays
    landed: HostArrays
    inputs: dict[str, DeviceTensor]
    outputs: dict[str, DeviceTensor]
    bound: BoundRun | None = None


class DeviceFeed:
    """The `LineFeed` of a session on a device; threads take turns."""

    def __init__(self, network: Network, grouping: Grouping, session: DeviceSession, device: Device) -> None:
        """Take a graph that is ready to run.

        Args:
            network: the line graph's entry in the manifest.
            grouping: G and M.
            session: the graph's.
            device: where it runs, and the kernels too.
        """
        self._network, self._grouping, self._session, self._device = network, grouping, session, device
        self._inputs = [tensor.name for tensor in network.inputs]
        self._groups = "groups" in self._inputs
        self._kernels: DeviceGrouping | None = None
        self._rooms: dict[tuple[int, int], _Room] = {}
        self._observer: Observer | None = None

    def ready(self, prepared: PreparedPart) -> LinePart:
        """See `LineFeed`: nothing is grouped yet."""
        part = line_part(prepared, self._inputs)
        if part.points is not None:
            require_group(len(part.points), self._grouping)
        return part

    @contextmanager
    def run(self, parts: Sequence[LinePart], layout: BatchLayout, outputs: Sequence[str]) -> Iterator[LineRun]:
        """See `LineFeed`."""
        with self._device.turn:
            room = self._queued(parts, layout)
            if self._observer is not None:
                self._observer(LINE_ROLE, self._brought(room, room.inputs), self._brought(room, room.outputs))

            def bring(names: Sequence[str]) -> GraphOutputs:
                return self._brought(room, {name: room.outputs[name] for name in names})

            yield LineRun(bring(outputs), bring)

    def _queued(self, parts: Sequence[LinePart], layout: BatchLayout) -> _Room:
        """Queue a batch from its copies up to the graph: the memory that it uses."""
        room = self._room(layout)
        staged: dict[str, npt.NDArray[Any]] = {"patches": layout.patches, "places": layout.places}
        for name in parts[0].sensed:
            staged[name] = np.stack([part.sensed[name] for part in parts])
        for name, array in staged.items():
            room.staged[name][...] = array
            self._device.upload(room.staged[name], room.inputs[name].buffer)
        if self._groups:
            room.inputs.update(self._grouped(parts, layout))
        if room.bound is None or any(
            room.bound.places[name] != tensor.buffer.pointer for name, tensor in room.inputs.items()
        ):
            room.bound = self._session.bind(room.inputs, room.outputs)
        self._session.run(room.bound)
        return room

    @contextmanager
    def observed(self, observer: Observer) -> Iterator[None]:
        """See `LineFeed`: all inputs and outputs come down while the block runs."""
        before, self._observer = self._observer, observer
        try:
            yield
        finally:
            self._observer = before

    def _grouped(self, parts: Sequence[LinePart], layout: BatchLayout) -> dict[str, DeviceTensor]:
        """Queue the grouping of a batch: where the inputs lie that it makes."""
        if self._kernels is None:
            self._kernels = DeviceGrouping(self._device, self._grouping, len(parts))
        self._kernels.load(
            [
                PartPoints(part.points, part.pixels)
                for part in parts
                if part.points is not None and part.pixels is not None
            ]
        )
        batch = self._kernels.run(layout.patches)
        buffers = {"groups": batch.groups, "centers": batch.centers, "pooling": batch.pooling}
        shapes = {tensor.name: _shape(tensor, layout) for tensor in self._network.inputs}
        return {name: DeviceTensor(buffers[name], shapes[name], np.dtype(np.float32)) for name in GROUPED}

    def _room(self, layout: BatchLayout) -> _Room:
        """The memory for batches of this size, allocated when the first one comes."""
        size = layout.patches.shape
        if size not in self._rooms:
            copied = [tensor for tensor in self._network.inputs if tensor.name not in GROUPED]
            self._rooms[size] = _Room(
                staged={t.name: self._device.pinned(_shape(t, layout), t.dtype) for t in copied},
                landed={},
                inputs=self._tensors(copied, layout),
                outputs=self._tensors(self._network.outputs, layout),
            )
        return self._rooms[size]

    def _tensors(self, tensors: Sequence[Tensor], layout: BatchLayout) -> dict[str, DeviceTensor]:
        return {t.name: DeviceTensor.allocate(self._device, _shape(t, layout), t.dtype) for t in tensors}

    def _brought(self, room: _Room, tensors: Mapping[str, DeviceTensor]) -> GraphOutputs:
        """Copies of tensors of the last batch, all waited for at once."""
        landed = room.landed
        for name, tensor in tensors.items():
            if name not in landed:
                landed[name] = self._device.pinned(tensor.shape, tensor.dtype)
            self._device.download(tensor.buffer, landed[name])
        self._device.synchronize()
        return {name: landed[name].copy() for name in tensors}


def _shape(tensor: Tensor, layout: BatchLayout) -> tuple[int, ...]:
    """A tensor's shape for a batch."""
    sizes: Mapping[int | str, int] = {"batch": layout.patches.shape[0], "patches": layout.patches.shape[1]}
    return tuple(axis if isinstance(axis, int) else sizes[axis] for axis in tensor.shape)
