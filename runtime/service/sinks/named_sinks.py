"""The sinks that a line file names, each as its table says."""

from __future__ import annotations

from concurrent.futures import Future
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from ...errors import UsageError
from ..arrival import Arrival
from ..inspecting import Answered
from ..journal import Journal
from ..journal_id import journal_id
from ..line_file import LineFile, MqttTable, OpcuaTable, WebhookTable, placed
from ..settled_results import SettledResults
from .mqtt import MqttSettings, MqttSink
from .opcua import OpcuaSettings, OpcuaSink
from .opcua_methods import Trigger
from .sink import Sink
from .webhook import WebhookSettings, WebhookSink


class SunkLine(Protocol):
    """What sinks need of a line.

    Attributes:
        journal: what results are read from.
        station: what inspects on demand; needed once the sinks are open, not before.
    """

    journal: Journal
    station: Any


def open_sinks(file: LineFile, base: Path, line: SunkLine) -> list[Sink]:
    """The sinks of a line, which connect when their delivery starts.

    Args:
        file: see `read_line_file`.
        base: the folder that its paths are relative to.
        line: where results come from, and files are inspected on demand.

    Raises:
        UsageError: a table makes no sense, a file that it names cannot be used, or its extra is not installed.
        OutputError: the journal cannot be used.
    """
    _require(bool(file.mqtt), "mqtt", "paho")
    _require(bool(file.opcua), "opcua", "asyncua")

    def in_flight() -> list[int]:
        # The station is made after its sinks.
        numbers: list[int] = line.station.open_requests()
        return numbers

    name, results = journal_id(line.journal), SettledResults(line.journal, in_flight)
    return [
        *(MqttSink(_mqtt(table, base, name)) for table in file.mqtt),
        *(OpcuaSink(_opcua(table, base), results, _trigger(table.name, line)) for table in file.opcua),
        *(WebhookSink(_webhook(table, base, name)) for table in file.webhook),
    ]


def _trigger(source: str, line: SunkLine) -> Trigger:
    def inspect(path: Path, part_id: str | None, product: str | None) -> Future[Answered]:
        answer: Future[Answered] = line.station.submit(
            Arrival(source=source, scan=path.name, path=path, part_id=part_id, product=product)
        )
        return answer

    return inspect


def _require(is_needed: bool, extra: str, module: str) -> None:
    if is_needed and find_spec(module) is None:
        raise UsageError(f"[[{extra}]] of line.toml needs the extra `{extra}`: pip install 'cmdiad[{extra}]'")


def _mqtt(table: MqttTable, base: Path, line_name: str) -> MqttSettings:
    return MqttSettings(
        name=table.name,
        host=table.host,
        port=table.port,
        topic=table.topic,
        client_id=table.client_id or f"cmdiad-{line_name[:12]}-{table.name}",
        version=table.version,
        username=table.username,
        password_file=_placed(base, table.password_file),
        tls=table.tls,
        tls_ca=_placed(base, table.tls_ca),
        tls_cert=_placed(base, table.tls_cert),
        tls_key=_placed(base, table.tls_key),
    )


def _opcua(table: OpcuaTable, base: Path) -> OpcuaSettings:
    return OpcuaSettings(
        name=table.name,
        host=table.host,
        port=table.port,
        users_file=_placed(base, table.users_file),
        certificate=_placed(base, table.certificate),
        private_key=_placed(base, table.private_key),
        allows_anonymous=table.anonymous,
        trigger_folder=_placed(base, table.trigger_folder),
    )


def _webhook(table: WebhookTable, base: Path, line_name: str) -> WebhookSettings:
    return WebhookSettings(
        name=table.name,
        url=table.url,
        journal_id=line_name,
        verdicts=table.verdicts,
        token_file=_placed(base, table.token_file),
        tls_ca=_placed(base, table.tls_ca),
        timeout_seconds=table.timeout_seconds,
    )


def _placed(base: Path, name: str | None) -> Path | None:
    return None if name is None else placed(base, name)
