"""What each stage takes on the device itself: events on its stream before and after whatever is queued.

An event is passed when the stream comes to it. So a stage is also charged for the time in which the device waits for
the host to queue it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from cmdiad.runtime.engines.device import Buffer, Device, Kernel
from cmdiad.runtime.engines.device_session import BoundRun, DeviceSession, DeviceTensor

COPIES_UP, GRAPH, COPIES_DOWN, ALL = "copies up", "graph", "copies down", "all"


class StreamEvent(Protocol):
    """A place in a stream; torch's `Event` is one."""

    def elapsed_time(self, end_event: Any) -> float:
        """Milliseconds to another one, both passed."""
        ...


def events_of(device: Device) -> Callable[[], StreamEvent]:
    """What puts an event into a device's stream, by torch, which shares the GPU's context."""
    cuda: Any = torch.cuda
    cuda.init()
    stream = cuda.ExternalStream(device.stream)

    def record() -> StreamEvent:
        event: StreamEvent = cuda.Event(enable_timing=True)
        cuda.Event.record(event, stream)
        return event

    return record


class StageEvents:
    """The events of stages, by name."""

    def __init__(self, record: Callable[[], StreamEvent]) -> None:
        """Take what puts an event into the stream."""
        self._record = record
        self._stages: list[tuple[str, StreamEvent, StreamEvent]] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What is queued in the block belongs to a stage."""
        begin = self._record()
        yield
        self._stages.append((name, begin, self._record()))

    def taken(self) -> dict[str, float]:
        """Milliseconds by stage since the last call, and of all from the first to the last event; all are passed."""
        sums: dict[str, float] = {}
        for name, begin, end in self._stages:
            sums[name] = sums.get(name, 0.0) + begin.elapsed_time(end)
        if self._stages:
            sums[ALL] = self._stages[0][1].elapsed_time(self._stages[-1][2])
        self._stages.clear()
        return sums


class EventedDevice:
    """A `Device` whose copies and kernels are stages."""

    def __init__(self, device: Device, events: StageEvents) -> None:
        """Pass everything on to a device."""
        self._device, self._events = device, events

    @property
    def name(self) -> str:
        """See `Device`."""
        return self._device.name

    @property
    def stream(self) -> int:
        """See `Device`."""
        return self._device.stream

    @property
    def turn(self) -> AbstractContextManager[Any]:
        """See `Device`."""
        return self._device.turn

    def allocate(self, nbytes: int) -> Buffer:
        """See `Device`."""
        return self._device.allocate(nbytes)

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """See `Device`."""
        return self._device.pinned(shape, dtype)

    def upload(self, host: npt.NDArray[Any], buffer: Buffer, offset: int = 0) -> None:
        """See `Device`."""
        with self._events.stage(COPIES_UP):
            self._device.upload(host, buffer, offset)

    def download(self, buffer: Buffer, host: npt.NDArray[Any], offset: int = 0) -> None:
        """See `Device`."""
        with self._events.stage(COPIES_DOWN):
            self._device.download(buffer, host, offset)

    def launch(self, kernel: Kernel, grid: tuple[int, int], arguments: Sequence[Buffer | np.generic]) -> None:
        """See `Device`."""
        with self._events.stage(kernel.function):
            self._device.launch(kernel, grid, arguments)

    def synchronize(self) -> None:
        """See `Device`."""
        self._device.synchronize()


class EventedSession:
    """A `DeviceSession` whose runs are a stage."""

    def __init__(self, session: DeviceSession, events: StageEvents) -> None:
        """Pass everything on to a session."""
        self._session, self._events = session, events

    def bind(self, inputs: Mapping[str, DeviceTensor], outputs: Mapping[str, DeviceTensor]) -> BoundRun:
        """See `DeviceSession`."""
        return self._session.bind(inputs, outputs)

    def run(self, bound: BoundRun) -> None:
        """See `DeviceSession`."""
        with self._events.stage(GRAPH):
            self._session.run(bound)


def evented_session(session: DeviceSession, events: StageEvents) -> DeviceSession:
    """The session as `DeviceFeed` takes it."""
    return cast("DeviceSession", EventedSession(session, events))
