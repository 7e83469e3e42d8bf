"""The server's thread: it takes requests, and when it is stopped it finishes those that it took."""

from __future__ import annotations

import logging
import socket
import threading
import time
from typing import Any

import uvicorn

from ...errors import MachineError
from ..access import Access
from ..arrival import FileVersion
from ..line_file import placed
from ..listening import listening_sockets
from ..production_line import ProductionLine
from .application import new_application
from .bodies import SOURCE

_START_SECONDS = 15.0
_KEEP_ALIVE_SECONDS = 15
_MOST_CONNECTIONS = 512


class HttpRequests:
    """The source of parts that come by HTTP.

    Attributes:
        problem: why nothing can come now; None: it can.
    """

    def __init__(self, line: ProductionLine) -> None:
        """A server of a line, which takes nothing yet.

        Raises:
            UsageError: it would be open to the network without protection.
        """
        table = line.file.http
        self.problem: str | None = None
        self._line, self._table = line, table
        self._application = new_application(line, Access.of(table, line.base))
        self._server = uvicorn.Server(_configuration(line, self._application))
        self._sockets: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)

    @property
    def name(self) -> str:
        """In the journal, and in every result."""
        return SOURCE

    @property
    def address(self) -> str:
        """What a browser on this machine opens."""
        scheme = "http" if self._table.tls_cert is None else "https"
        host = f"[{self._table.host}]" if ":" in self._table.host else self._table.host
        return f"{scheme}://{host}:{self._table.port}"

    def start(self) -> None:
        """Take requests from now on.

        Raises:
            MachineError: the port is in use, or the address is not this machine's.
        """
        state = self._application.state
        self._line.station.listen(state.clouds.keep)
        self._line.station.listen(lambda record, inspection: state.metrics.add(record))
        self._line.station.listen(lambda record, inspection: state.events.tell(record))
        self._sockets = listening_sockets("[http]", self._table.host, self._table.port)
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started and self._thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        if not self._server.started:
            raise MachineError(f"{self.address}: cannot be served: the log says why")

    def stop(self) -> None:
        """Take no more requests, and let those that were taken have their answers."""
        self._application.state.is_open = False
        self._server.should_exit = True
        self._thread.join(self._table.timeout_seconds + 5)

    def finished(self, version: FileVersion, number: int, is_rejected: bool) -> None:
        """Requests leave no files."""

    def as_json(self) -> dict[str, Any]:
        """One object of `/v1/status`."""
        return {"name": self.name, "problem": self.problem}

    def notices(self) -> list[str]:
        """None: whoever asks is answered."""
        return []

    def _serve(self) -> None:
        try:
            self._server.run(self._sockets)
        except SystemExit:  # how uvicorn says that it could not begin
            self.problem = f"{self.address} cannot be served"


def _configuration(line: ProductionLine, application: object) -> uvicorn.Config:
    table = line.file.http
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    return uvicorn.Config(
        application,  # type: ignore[arg-type]
        host=table.host,
        port=table.port,
        ssl_certfile=None if table.tls_cert is None else str(placed(line.base, table.tls_cert)),
        ssl_keyfile=None if table.tls_key is None else str(placed(line.base, table.tls_key)),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(table.timeout_seconds) + 1,
    )
