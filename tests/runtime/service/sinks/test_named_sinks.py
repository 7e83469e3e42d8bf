"""The tables of a line file become sinks."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cmdiad.runtime.errors import UsageError
from cmdiad.runtime.service.arrival import Arrival, PartRecord
from cmdiad.runtime.service.journal import Journal
from cmdiad.runtime.service.journal_id import journal_id
from cmdiad.runtime.service.line_file import read_line_file
from cmdiad.runtime.service.sinks import named_sinks
from cmdiad.runtime.service.sinks.named_sinks import open_sinks
from cmdiad.runtime.service.station import Station, StationSettings
from cmdiad.runtime.service.users import add_user

for module in ("paho", "asyncua"):
    pytest.importorskip(module)

ALL = """
[[product]]
name = "flange"
bundle = "flange.cmdiad"
[[mqtt]]
host = "broker"
username = "line"
password_file = "secret"
tls_ca = "ca.pem"
tls = true
[[mqtt]]
name = "second"
host = "other"
client_id = "mine"
version = "3.1.1"
[[opcua]]
users_file = "users"
trigger_folder = "triggered"
[[webhook]]
url = "https://mes/parts"
tls_ca = "ca.pem"
verdicts = ["defect"]
"""


def opened(text: str, folder: Path, journal: Journal, station: Any = None) -> list[Any]:
    path = folder / "line.toml"
    path.write_text(text)
    return list(open_sinks(read_line_file(path), folder, SimpleNamespace(journal=journal, station=station)))


@pytest.fixture
def files(tmp_path: Path, own_certificate: tuple[Path, Path]) -> None:
    """Those that the line file names."""
    (tmp_path / "secret").write_text("correct horse")
    (tmp_path / "ca.pem").write_bytes(own_certificate[0].read_bytes())
    add_user(tmp_path / "users", "plc", "correct horse")


@pytest.mark.usefixtures("files")
def test_all_that_a_line_file_names_is_made_as_it_says(tmp_path: Path, journal: Journal) -> None:
    first, second, server, webhook = opened(ALL, tmp_path, journal)
    assert [sink.name for sink in (first, second, server, webhook)] == ["mqtt", "second", "opcua", "webhook"]
    line = journal_id(journal)
    assert first._settings.client_id == f"cmdiad-{line[:12]}-mqtt" and second._settings.client_id == "mine"
    assert first._settings.password_file == tmp_path / "secret" and first._settings.tls_ca == tmp_path / "ca.pem"
    assert server._settings.users_file == tmp_path / "users" and not server._settings.allows_anonymous
    assert server._settings.trigger_folder == tmp_path / "triggered"
    assert webhook._settings.journal_id == line and webhook._settings.verdicts == ("defect",)


def test_a_table_whose_extra_is_not_installed_names_it(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named_sinks, "find_spec", lambda name: None if name == "asyncua" else name)
    with pytest.raises(UsageError, match=r"pip install 'cmdiad\[opcua\]'"):
        opened(ALL, tmp_path, journal)


def test_without_tables_there_are_no_sinks(tmp_path: Path, journal: Journal) -> None:
    assert opened('[[product]]\nname = "flange"\nbundle = "b"\n', tmp_path, journal) == []


@pytest.mark.parametrize("missing", ["secret", "ca.pem", "users"])
@pytest.mark.usefixtures("files")
def test_a_file_that_is_missing_ends_the_start(missing: str, tmp_path: Path, journal: Journal) -> None:
    (tmp_path / missing).unlink()
    with pytest.raises(UsageError, match=missing if missing != "ca.pem" else "TLS files"):
        opened(ALL, tmp_path, journal)


@pytest.mark.usefixtures("files")
def test_a_trigger_becomes_a_request_and_is_known_to_be_in_flight(
    tmp_path: Path, journal: Journal, record_of: Callable[..., PartRecord]
) -> None:
    class AnyProduct:
        def named(self, name: str | None) -> None:
            assert name == "flange"

    products: Any = AnyProduct()
    station = Station(StationSettings(tmp_path), journal, products)
    server = opened(ALL, tmp_path, journal, station)[2]
    answer = server._trigger(tmp_path / "part.tiff", "P1", "flange")
    assert isinstance(answer, Future) and station.waiting_requests == 1
    journal.accept([Arrival("folder", "later.tiff")])
    journal.finish(journal.waiting(1)[0], record_of(2), [])
    # Part 2 waits for part 1, which is the trigger's.
    assert server._results(0, 10) == []
    assert station._requests[0].accepted.arrival == Arrival(
        "opcua", "part.tiff", tmp_path / "part.tiff", None, "P1", "flange"
    )


def test_a_controller_triggers_an_inspection_and_reads_the_result(
    tmp_path: Path, journal: Journal, word_products: Any, deliver: Callable[[Any], Any], wait_until: Callable[..., None]
) -> None:
    import asyncua

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "triggered").mkdir()
    for name, word in (("a.tiff", "defect"), ("b.tiff", "bad")):
        (tmp_path / "triggered" / name).write_text(word)
    tables = f'[[opcua]]\nport = {port}\nanonymous = true\ntrigger_folder = "triggered"\n'
    station = Station(StationSettings(tmp_path / "out", threads=1), journal, word_products, ["opcua"])
    (server,) = opened(f'[[product]]\nname = "thing"\nbundle = "b"\n{tables}', tmp_path, journal, station)
    delivery = deliver(server)
    station.listen(lambda record, inspection: delivery.wake())
    running = threading.Thread(target=station.run)
    running.start()

    async def ask() -> tuple[list[Any], list[Any], list[Any], int]:
        async with asyncua.Client(f"opc.tcp://127.0.0.1:{port}") as client:
            line = client.get_node("ns=2;s=InspectionLine")
            answers = [await line.call_method("2:Inspect", name, "A17", "") for name in ("a.tiff", "b.tiff")]
            arguments = asyncua.ua.Variant(0, asyncua.ua.VariantType.Int64), asyncua.ua.Variant(9)
            number = client.get_node("ns=2;s=InspectionLine.LastResult.Number")
            while await number.read_value() < 2:
                await asyncio.sleep(0.01)
            return *answers, await line.call_method("2:ResultsSince", *arguments), await number.read_value()

    try:
        wait_until(lambda: server.port, 60.0)
        defect, bad, (numbers, verdicts, results, is_more), last = asyncio.run(asyncio.wait_for(ask(), 60))
    finally:
        station.stop()
        running.join(10)
    assert defect == [1, "defect", 2.0, 1.0, ""] and bad[:2] == [2, "error"] and "holds 'bad'" in bad[4]
    assert (numbers, verdicts, is_more, last) == ([1, 2], ["defect", "error"], False, 2)
    first = json.loads(results[0])
    assert (first["source"], first["scan"], first["part_id"]) == ("opcua", "a.tiff", "A17")
