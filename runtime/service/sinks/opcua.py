"""An OPC UA server: a controller reads results and the line's state, fetches what it missed, triggers inspections.

The server has a thread with a loop of its own. A result is delivered once it is in the variables, whether or not a
client looked: a client that was away fetches everything with `ResultsSince`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import CmdiadError, OutputError, UsageError
from ..arrival import PartRecord
from ..loopback import is_loopback
from ..settled_results import SettledResults
from ..users import read_users
from .opcua_log import tame_log
from .opcua_login import Login, new_server
from .opcua_methods import Answers, Trigger
from .opcua_nodes import LineNodes, add_nodes

if TYPE_CHECKING:
    from asyncua import Server

_DEFAULT_APPLICATION = "urn:cmdiad:inspection-line:server"

_log = logging.getLogger("cmdiad.line")


@dataclass(frozen=True)
class OpcuaSettings:
    """Where the server listens, and to whom.

    Attributes:
        name: of the sink.
        host, port: where it listens; port 0: any that is free.
        users_file: who may log in, as `cmdiad-rt users add` writes it.
        certificate, private_key: PEM or DER; with them only encrypted sessions are opened (Basic256Sha256).
        allows_anonymous: whether those without a name may, too: on this machine only.
        trigger_folder: whose files may be inspected on demand; None: none may.
        patience_seconds: how long to wait for the server, each time.
    """

    name: str
    host: str = "127.0.0.1"
    port: int = 4840
    users_file: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    allows_anonymous: bool = False
    trigger_folder: Path | None = None
    patience_seconds: float = 30.0

    def __post_init__(self) -> None:
        """Refuse what lets nobody in, or everybody.

        Raises:
            UsageError: it does.
        """
        if (self.certificate is None) != (self.private_key is None):
            raise UsageError(
                f"opcua {self.name!r}: only one of certificate and private_key is given: give both or neither"
            )
        if self.users_file is None and not self.allows_anonymous:
            raise UsageError(f"opcua {self.name!r}: nobody could log in: give users_file (`cmdiad-rt users add`)")
        if is_loopback(self.host):
            return
        if self.certificate is None:
            raise UsageError(
                f"opcua {self.name!r}: passwords would cross the network as plain text: give a certificate"
            )
        if self.allows_anonymous:
            raise UsageError(f"opcua {self.name!r}: anonymous = true is for host = 127.0.0.1 only: give users_file")


class OpcuaSink:
    """The server as a sink.

    Attributes:
        name: in the journal, the metrics and the log.
        is_server: True.
        passed_over: 0; variables refuse nothing.
    """

    def __init__(self, settings: OpcuaSettings, results: SettledResults, trigger: Trigger | None = None) -> None:
        """A server that listens once it is opened.

        Args:
            settings: where, and to whom.
            results: what `ResultsSince` answers.
            trigger: has a file inspected; None: `Inspect` is refused.

        Raises:
            UsageError: the file of users cannot be used.
        """
        self.name, self._settings, self.passed_over = settings.name, settings, 0
        self.is_server = True
        self._results, self._trigger = results, trigger
        self._server: RunningServer | None = None
        if settings.users_file is not None:
            read_users(settings.users_file)

    @property
    def port(self) -> int:
        """Where it listens; 0: it does not."""
        return 0 if self._server is None else self._server.port

    def open(self) -> None:
        """Listen, and show the last result.

        Raises:
            OutputError: the port is taken, or the address is not this machine's.
            UsageError: a file of the settings cannot be used.
        """
        self.close()
        server = RunningServer(self._settings, Answers(self._results, self._trigger, self._settings.trigger_folder))
        self._server = server
        newest = self._results.newest()
        if newest is not None:
            server.do(server.nodes.recall(newest))

    def deliver(self, record: PartRecord) -> None:
        """Write a result into the variables, and tell it as an event.

        Raises:
            OutputError: the server does not run, or not in time.
        """
        server = self._running()
        server.do(server.nodes.show(record))

    def tell(self, status: dict[str, Any]) -> None:
        """Write the line's state and its problems into the variables.

        Raises:
            OutputError: the server does not run, or not in time.
        """
        server = self._running()
        message = "; ".join(str(problem) for problem in status.get("problems", ()))
        server.do(server.nodes.tell(str(status.get("state", "")), message))

    def close(self) -> None:
        """Close all sessions, and listen no more."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def _running(self) -> RunningServer:
        if self._server is None:
            raise OutputError(f"opcua {self.name!r}: the server does not run")
        return self._server


class RunningServer:
    """A server of asyncua on a thread of its own.

    Attributes:
        nodes: its variables; to be touched by `do` only.
        port: where it listens.
    """

    nodes: LineNodes
    port: int

    def __init__(self, settings: OpcuaSettings, answers: Answers) -> None:
        """Start it, and wait until it listens.

        Raises:
            OutputError: the port is taken, or the address is not this machine's.
            UsageError: a file of the settings cannot be used.
        """
        tame_log()
        self._settings, self._answers = settings, answers
        self._ready: Future[None] = Future()
        self._loop = asyncio.new_event_loop()
        self._is_over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=f"opcua {settings.name}", daemon=True)
        self._thread.start()
        try:
            self._ready.result(settings.patience_seconds)
        except CmdiadError:
            self.stop()
            raise
        except Exception as cause:
            self.stop()
            where = f"{settings.host}:{settings.port}"
            why = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
            raise OutputError(f"opcua {settings.name!r}: the server on {where} does not start: {why}") from cause

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done on the server's thread, and wait for it.

        Raises:
            OutputError: the server does not run, or not in time.
        """
        if not self._thread.is_alive():
            work.close()
            raise OutputError(f"opcua {self._settings.name!r}: the server does not run")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            future.result(self._settings.patience_seconds)
        except TimeoutError as cause:
            future.cancel()
            raise OutputError(f"opcua {self._settings.name!r}: the server is too busy to take a result") from cause

    def stop(self) -> None:
        """End it; called twice, the second time nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._is_over.set)
            self._thread.join(self._settings.patience_seconds)

    def _run(self) -> None:
        try:
            # It ends whatever asyncua left running.
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        except BaseException as error:
            if self._ready.done():
                _log.exception("opcua %s: the server ended", self._settings.name)
            else:
                self._ready.set_exception(error)

    async def _serve(self) -> None:
        server = await _prepared(self._settings)
        self.nodes = await add_nodes(server, self._answers.methods())
        await server.start()
        try:
            assert server.bserver is not None
            self.port = server.bserver.port
            self._ready.set_result(None)
            await self._is_over.wait()
        finally:
            if server.iserver.time_task is not None:
                # Its clock would be waited for.
                server.iserver.time_task.cancel()
                server.iserver.time_task = None
            await server.stop()


async def _prepared(settings: OpcuaSettings) -> Server:
    """A server with its users, certificate and endpoints, which does not listen yet.

    Raises:
        UsageError: a file of the settings cannot be used.
    """
    from asyncua import ua

    users = None if settings.users_file is None else read_users(settings.users_file)
    is_encrypted = settings.certificate is not None
    login = Login(users, settings.allows_anonymous, is_encrypted)
    server = new_server(login, settings.allows_anonymous, users is not None)
    application = await _load_certificate(server, settings)
    await server.init()
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    server.set_endpoint(f"opc.tcp://{host}:{settings.port}/cmdiad/")
    server.set_server_name("cmdiad inspection line")
    await server.set_application_uri(application)
    policies = ua.SecurityPolicyType
    server.set_security_policy([policies.Basic256Sha256_SignAndEncrypt if is_encrypted else policies.NoSecurity])
    return server


async def _load_certificate(server: Server, settings: OpcuaSettings) -> str:
    """Give a server its certificate, where it has one: what the application is called there, as clients compare it."""
    from cryptography import x509

    if settings.certificate is None or settings.private_key is None:
        return _DEFAULT_APPLICATION
    certificate, key = settings.certificate, settings.private_key
    try:
        await server.load_certificate(certificate.read_bytes(), _encoding(certificate))
        await server.load_private_key(key.read_bytes(), format=_encoding(key))
    except Exception as cause:  # as many kinds as there are ways to damage a file
        raise UsageError(f"opcua {settings.name!r}: certificate or private_key cannot be used: {cause}") from cause
    try:
        names = server.iserver.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return str(names.get_values_for_type(x509.UniformResourceIdentifier)[0])
    except (x509.ExtensionNotFound, IndexError) as cause:
        raise UsageError(
            f"opcua {settings.name!r}: {settings.certificate} has no URI as subject alternative name, "
            "which OPC UA clients ask for: docs/sinks.md has the command that makes one"
        ) from cause


def _encoding(path: Path) -> str:
    """How a certificate or key is written, whatever its file is called."""
    with path.open("rb") as stream:
        return "pem" if b"-----BEGIN" in stream.read(1 << 16) else "der"
