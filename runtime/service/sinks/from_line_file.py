"""The sinks that a line file names, each as its table says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path

from ...errors import UsageError
from ..journal import Journal
from ..journal_id import journal_id
from ..line_file import LineFile, MqttTable, OpcuaTable, WebhookTable, placed
from ..settled_results import SettledResults
from .mqtt import MqttSettings, MqttSink
from .opcua import OpcuaSettings, OpcuaSink
from .opcua_methods import Trigger
from .sink import Sink
from .webhook import WebhookSettings, WebhookSink


def sinks_from_line_file(
    file: LineFile, base: Path, journal: Journal, trigger: Trigger, in_flight: Callable[[], Iterable[int]]
) -> list[Sink]:
    """Sinks that connect when they are opened.

    Args:
        file: see `read_line_file`.
        base: the folder that its paths are relative to.
        journal: what results are read from.
        trigger: has a file inspected.
        in_flight: the numbers of requests that are under way.

    Raises:
        UsageError: a table makes no sense, or its extra is not installed.
        OutputError: the journal cannot be used.
    """
    _require(bool(file.mqtt), "mqtt", "paho")
    _require(bool(file.opcua), "opcua", "asyncua")
    line, results = journal_id(journal), SettledResults(journal, in_flight)
    return [
        *(MqttSink(_mqtt(table, base, line)) for table in file.mqtt),
        *(OpcuaSink(_opcua(table, base), results, trigger) for table in file.opcua),
        *(WebhookSink(_webhook(table, base, line)) for table in file.webhook),
    ]


def _require(is_needed: bool, extra: str, module: str) -> None:
    if is_needed and find_spec(module) is None:
        raise UsageError(f"[[{extra}]] of line.toml needs the extra `{extra}`: pip install 'cmdiad[{extra}]'")


def _mqtt(table: MqttTable, base: Path, line: str) -> MqttSettings:
    return MqttSettings(
        name=table.name,
        host=table.host,
        port=table.port,
        topic=table.topic,
        client_id=table.client_id or f"cmdiad-{line[:12]}-{table.name}",
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


def _webhook(table: WebhookTable, base: Path, line: str) -> WebhookSettings:
    return WebhookSettings(
        name=table.name,
        url=table.url,
        journal_id=line,
        verdicts=tuple(table.verdicts),
        token_file=_placed(base, table.token_file),
        tls_ca=_placed(base, table.tls_ca),
        timeout_seconds=table.timeout_seconds,
    )


def _placed(base: Path, name: str | None) -> Path | None:
    return None if name is None else placed(base, name)
