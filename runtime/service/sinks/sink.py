"""What a sink is: it takes results one after the other, and says so if it cannot."""

from __future__ import annotations

from typing import Any, Protocol

from ..arrival import PartRecord


class Sink(Protocol):
    """Where results go besides the journal; a new one is a class with these methods, in a file of its own here.

    All methods are called by one thread, that of the sink's delivery; a sink may take its time, and an error of any
    kind means that the result is delivered again later.

    Attributes:
        name: in the journal, the metrics and the log.
        is_server: whether others come to it, as a controller to trigger inspections: the line is not ready without it.
        passed_over: how many results the other side refused for good since the start; the log has their numbers.
    """

    name: str
    is_server: bool
    passed_over: int

    def open(self) -> None:
        """Connect; called again after an error.

        Raises:
            Exception: it cannot be reached.
        """
        ...

    def deliver(self, record: PartRecord) -> None:
        """Hand a result over; when this returns, it has arrived.

        Raises:
            Exception: it has not, or nobody knows.
        """
        ...

    def tell(self, status: dict[str, Any]) -> None:
        """Hear how the line is, as `/v1/status` has it; called every few seconds, and when it changes.

        Raises:
            Exception: it cannot be told now.
        """
        ...

    def close(self) -> None:
        """Let go of everything; called after an error too, and when nothing is open."""
        ...
