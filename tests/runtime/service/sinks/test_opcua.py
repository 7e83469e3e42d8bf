"""The OPC UA server, asked by a real client."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from cmdiad.runtime.errors import OutputError, UsageError
from cmdiad.runtime.service.arrival import PartRecord
from cmdiad.runtime.service.inspecting import Answered
from cmdiad.runtime.service.journal import Journal
from cmdiad.runtime.service.settled_results import SettledResults
from cmdiad.runtime.service.sinks import opcua_methods
from cmdiad.runtime.service.sinks.opcua import OpcuaSettings, OpcuaSink
from cmdiad.runtime.service.users import add_user

asyncua = pytest.importorskip("asyncua")
Record = Callable[..., PartRecord]
Finish = Callable[..., list[PartRecord]]
Wait = Callable[..., None]
LINE = "ns=2;s=InspectionLine"
INT64, INT32 = asyncua.ua.VariantType.Int64, asyncua.ua.VariantType.Int32
PASSWORD = "correct horse"


class Line:
    """What stands behind the server: files are inspected at once."""

    def __init__(self, folder: Path, record_of: Record) -> None:
        self.folder, self.record_of = folder, record_of
        self.triggered: list[tuple[Path, str | None, str | None]] = []
        self.pending: list[Future[Answered]] = []

    def trigger(self, path: Path, part_id: str | None, product: str | None) -> Future[Answered]:
        if product not in (None, "flange"):
            raise UsageError(f"there is no product {product!r}")
        self.triggered.append((path, part_id, product))
        answer: Future[Answered] = Future()
        if part_id == "slow":
            self.pending.append(answer)
            return answer
        answer.set_result(Answered(self.record_of(7, "error" if "empty" in path.name else "defect", part_id), None))
        return answer


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory, record_of: Record) -> Line:
    tmp_path = tmp_path_factory.mktemp("line")
    folder = tmp_path / "triggered"
    folder.mkdir()
    for name in ("part.tiff", "empty.tiff"):
        (folder / name).write_bytes(b"scan")
    (tmp_path / "secret.tiff").write_bytes(b"scan")
    (folder / "link.tiff").symlink_to(tmp_path / "secret.tiff")
    return Line(folder, record_of)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, line: Line) -> Iterator[OpcuaSink]:
    """A server with a trigger folder, which no test closes."""
    journal = Journal(tmp_path_factory.mktemp("journal"))
    settings = OpcuaSettings("opcua", port=0, allows_anonymous=True, trigger_folder=line.folder)
    made = OpcuaSink(settings, SettledResults(journal), line.trigger)
    made.open()
    yield made
    made.close()
    journal.close()


@pytest.fixture
def sink(journal: Journal) -> Iterator[OpcuaSink]:
    """A server that is not open yet."""
    made = OpcuaSink(OpcuaSettings("opcua", port=0, allows_anonymous=True), SettledResults(journal))
    yield made
    made.close()


def asked(port: int, ask: Callable[[Any], Awaitable[Any]]) -> Any:
    """What a client that connects, asks and leaves is told."""

    async def visit() -> Any:
        async with asyncua.Client(f"opc.tcp://127.0.0.1:{port}/cmdiad/") as client:
            return await ask(client)

    return asyncio.run(visit())


async def read(client: Any, name: str) -> Any:
    return await client.get_node(f"{LINE}.{name}").read_value()


async def since(client: Any, number: int, limit: int) -> list[Any]:
    arguments = asyncua.ua.Variant(number, INT64), asyncua.ua.Variant(limit, INT32)
    return await client.get_node(LINE).call_method("2:ResultsSince", *arguments)


async def inspect(client: Any, *texts: str) -> Any:
    """The answer, or the name of the status code in its place."""
    try:
        return await client.get_node(LINE).call_method("2:Inspect", *texts)
    except asyncua.ua.UaStatusCodeError as error:
        return type(error).__name__


def test_a_result_and_the_state_stand_in_variables_and_an_event_tells_of_it(
    shared: OpcuaSink, record_of: Record, wait_until: Wait
) -> None:
    events: list[Any] = []
    changes: list[int] = []

    class Handler:
        def event_notification(self, event: Any) -> None:
            events.append(event)

        def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
            changes.append(value)

    async def ask(client: Any) -> dict[str, Any]:
        subscription = await client.create_subscription(10, Handler())
        await subscription.subscribe_events(client.get_node(LINE), client.get_node("ns=2;s=ResultReadyEventType"))
        await subscription.subscribe_data_change(client.get_node(f"{LINE}.LastResult.Number"), queuesize=100)
        await asyncio.to_thread(shared.deliver, record_of(4, "defect"))
        await asyncio.to_thread(shared.deliver, record_of(5, "error"))
        await asyncio.to_thread(shared.tell, {"state": "busy", "problems": ["the disk is full", "no broker"]})
        await asyncio.to_thread(wait_until, lambda: len(events) == 2 and changes[-1:] == [5])
        names = ("State", "Message", *(f"LastResult.{name}" for name in ("Verdict", "IsDefect", "Score", "PartId")))
        return {name: await read(client, name) for name in names} | {"json": await read(client, "LastResult.Json")}

    seen = asked(shared.port, ask)
    assert (seen["State"], seen["Message"]) == ("busy", "the disk is full; no broker")
    # What was not inspected is not good.
    assert (seen["LastResult.Verdict"], seen["LastResult.IsDefect"], seen["LastResult.PartId"]) == ("error", True, "")
    assert math.isnan(seen["LastResult.Score"]) and '"message":"no points"' in seen["json"]
    assert [(event.Number, event.Verdict, event.IsDefect) for event in events] == [
        (4, "defect", True),
        (5, "error", True),
    ]
    assert (events[0].PartId, events[0].Score, events[0].Threshold, events[0].Product) == ("P0004", 0.5, 12.5, "flange")
    assert events[0].Message.Text == "part 4 is defect" and changes[-2:] == [4, 5]


def test_a_client_that_was_away_gets_every_one_of_200_parts_exactly_once(
    sink: OpcuaSink,
    journal: Journal,
    finish: Finish,
    deliver: Callable[[Any], Any],
    wait_until: Wait,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finish(70, "opcua")
    sink.open()
    # The last result of the run before is there at once.
    assert asked(sink.port, lambda client: read(client, "LastResult.Number")) == 70
    monkeypatch.setattr(sink, "open", lambda: None)
    delivery = deliver(sink)

    def fetch(known: list[int], most_calls: int) -> None:
        async def ask(client: Any) -> None:
            for _ in range(most_calls):
                numbers, verdicts, results, is_more = await since(client, known[-1] if known else 0, 16)
                assert len(numbers) == len(verdicts) == len(results) and is_more == (len(numbers) == 16)
                known.extend(numbers)

        asked(sink.port, ask)

    known: list[int] = []
    fetch(known, 2)
    assert known == list(range(1, 33))
    finish(130, "opcua")
    delivery.wake()
    fetch(known, 20)
    assert known == list(range(1, 201))
    wait_until(lambda: not journal.count_undelivered("opcua"))
    assert asked(sink.port, lambda client: read(client, "LastResult.Number")) == 200


def test_files_of_the_trigger_folder_are_inspected_and_no_others(shared: OpcuaSink, line: Line) -> None:
    names = ("../secret.tiff", str(line.folder / "part.tiff"), "link.tiff", "..\\secret.tiff", "C:part.tiff", "..", "")

    async def ask(client: Any) -> tuple[list[Any], list[Any]]:
        answers = [await inspect(client, name, "", "") for name in ("part.tiff", "empty.tiff")]
        answers.append(await inspect(client, "part.tiff", "P9", "flange"))
        refusals = [await inspect(client, name, "", "") for name in (*names, "nothing.tiff")]
        refusals += [await inspect(client, "part.tiff", "", "gear"), await inspect(client, "part.tiff")]
        return answers, refusals

    answers, refusals = asked(shared.port, ask)
    assert answers[0] == [7, "defect", 0.875, 12.5, ""] and answers[2][0] == 7
    assert answers[1][:2] == [7, "error"] and math.isnan(answers[1][2]) and answers[1][4] == "no points"
    assert line.triggered[2] == (line.folder / "part.tiff", "P9", "flange")
    assert refusals == ["BadInvalidArgument"] * 7 + ["BadNotFound"] + ["BadInvalidArgument"] * 2
    assert len(line.triggered) == 3


def test_a_client_that_does_not_wait_does_not_disturb_the_line(
    shared: OpcuaSink, line: Line, record_of: Record, wait_until: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang_up() -> None:
        client = asyncua.Client(f"opc.tcp://127.0.0.1:{shared.port}/cmdiad/")
        await client.connect()
        call = asyncio.create_task(inspect(client, "part.tiff", "slow", ""))
        await asyncio.to_thread(wait_until, lambda: line.pending)
        client.disconnect_socket()
        await asyncio.gather(call, return_exceptions=True)

    asyncio.run(hang_up())
    monkeypatch.setattr(opcua_methods, "_PATIENCE_SECONDS", 0.05)
    assert asked(shared.port, lambda client: inspect(client, "part.tiff", "slow", "")) == "BadTimeout"
    # As the station does it: this would raise, had one of the two been canceled.
    for answer in line.pending:
        answer.set_result(Answered(record_of(7), None))
    assert len(line.pending) == 2


def test_clients_change_nothing_and_other_servers_do_not_register(shared: OpcuaSink) -> None:
    async def ask(client: Any) -> list[str]:
        refusals = []
        for attempt in (
            lambda: client.get_node(f"{LINE}.State").write_value("ready"),
            lambda: client.get_node(LINE).add_object(2, "mine"),
            lambda: client.get_node(f"{LINE}.State").delete(),
            lambda: client.uaclient.register_server(asyncua.ua.RegisteredServer()),
        ):
            try:
                result = await attempt()
            except (asyncua.ua.UaError, ConnectionError) as error:
                result = error
            refusals.append(type(result).__name__)
        assert await read(client, "State") in ("starting", "busy")
        return refusals

    assert "NoneType" not in asked(shared.port, ask)


def test_a_port_in_use_and_a_server_that_does_not_run_are_named(
    shared: OpcuaSink, journal: Journal, record_of: Record
) -> None:
    second = OpcuaSink(OpcuaSettings("second", port=shared.port, allows_anonymous=True), SettledResults(journal))
    with pytest.raises(OutputError, match=rf"'second': the server on 127.0.0.1:{shared.port} does not start"):
        second.open()
    with pytest.raises(OutputError, match="does not run"):
        second.deliver(record_of(1))
    second.close()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "nobody could log in"),
        ({"host": "0.0.0.0", "users_file": Path("users")}, "as plain text: give a certificate"),
        ({"certificate": Path("a"), "users_file": Path("users")}, "give both or neither"),
        (
            {"host": "line-pc", "certificate": Path("a"), "private_key": Path("b"), "allows_anonymous": True},
            "anonymous = true is for host = 127.0.0.1 only",
        ),
    ],
)
def test_settings_that_let_everybody_or_nobody_in_are_refused(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        OpcuaSettings("opcua", **keys)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates and keys of the line and of a client, and the line's users."""
    from asyncua.crypto.cert_gen import setup_self_signed_certificate
    from cryptography.x509.oid import ExtendedKeyUsageOID

    folder = tmp_path_factory.mktemp("keys")
    # asyncua's clients tell a key's form by its file's name, our server does not.
    for name, suffix in (("line", "key"), ("client", "pem")):
        asyncio.run(
            setup_self_signed_certificate(
                folder / f"{name}.{suffix}",
                folder / f"{name}.der",
                f"urn:test:{name}",
                socket.gethostname(),
                [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH],
                {},
            )
        )
    add_user(folder / "users", "plc", PASSWORD)
    return folder


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Iterator[OpcuaSink]:
    """A server that wants encryption and a password."""
    journal = Journal(tmp_path_factory.mktemp("guarded"))
    settings = OpcuaSettings(
        "opcua",
        port=0,
        users_file=keys / "users",
        certificate=keys / "line.der",
        private_key=keys / "line.key",
    )
    made = OpcuaSink(settings, SettledResults(journal))
    made.open()
    yield made
    made.close()
    journal.close()


async def entered(port: int, folder: Path | None, name: str | None, password: str | None) -> Any:
    """A client that is connected; with a folder it encrypts."""
    from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

    client = asyncua.Client(f"opc.tcp://127.0.0.1:{port}/cmdiad/")
    client.application_uri = "urn:test:client"
    if folder is not None:
        await client.set_security(SecurityPolicyBasic256Sha256, str(folder / "client.der"), str(folder / "client.pem"))
    if name is not None:
        client.set_user(name)
        client.set_password(password)
    await client.connect()
    return client


def test_who_has_the_password_and_encrypts_enters_and_nobody_else(
    guarded: OpcuaSink, keys: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def outcome(folder: Path | None, name: str | None, password: str | None) -> Any:
        try:
            client = await entered(guarded.port, folder, name, password)
        except Exception as error:  # asyncua's clients raise what they please
            return type(error).__name__
        try:
            return await read(client, "State")
        finally:
            await client.disconnect()

    async def all_outcomes() -> list[Any]:
        return [
            await outcome(keys, "plc", PASSWORD),
            await outcome(keys, "plc", "wrong horse"),
            await outcome(keys, "mes", PASSWORD),
            await outcome(keys, None, None),
            await outcome(None, "plc", PASSWORD),
            await outcome(None, None, None),
        ]

    with caplog.at_level(logging.WARNING, "cmdiad.line"):
        first, *others = asyncio.run(all_outcomes())
    assert first == "starting"
    assert "starting" not in others
    # One line a refusal, in the line's own words.
    assert [record.getMessage() for record in caplog.records if record.name == "cmdiad.line"] == [
        "opcua: the login of 'plc' is refused",
        "opcua: the login of 'mes' is refused",
    ]


async def looted(port: int, take: Callable[[Any], list[Callable[[], Awaitable[Any]]]]) -> list[Any]:
    """What one attempt after the other yields, over a channel that a client opened without encryption."""
    thief = asyncua.Client(f"opc.tcp://127.0.0.1:{port}/cmdiad/")
    await thief.connect_socket()
    loot: list[Any] = []
    try:
        await thief.send_hello()
        await thief.open_secure_channel()
        for attempt in take(thief):
            try:
                loot.append(await attempt())
            except Exception as error:  # asyncua's clients raise what they please
                loot.append(error)
    finally:
        thief.disconnect_socket()
    return loot


def test_the_right_password_over_a_channel_without_encryption_is_refused(guarded: OpcuaSink) -> None:
    def take(thief: Any) -> list[Callable[[], Awaitable[Any]]]:
        activation = asyncua.ua.ActivateSessionParameters()
        activation.UserIdentityToken = asyncua.ua.UserNameIdentityToken("username", "plc", PASSWORD.encode())
        return [
            lambda: thief.uaclient.create_session(asyncua.ua.CreateSessionParameters(RequestedSessionTimeout=60000)),
            lambda: thief.uaclient.activate_session(activation),
            lambda: read(thief, "State"),
        ]

    session, activated, state = asyncio.run(looted(guarded.port, take))
    assert not isinstance(session, Exception)
    assert isinstance(activated, asyncua.ua.uaerrors.BadUserAccessDenied) and isinstance(state, Exception)


def test_a_session_is_not_taken_over_over_a_channel_without_encryption(guarded: OpcuaSink, keys: Path) -> None:
    async def attack() -> tuple[list[Any], Any]:
        victim = await entered(guarded.port, keys, "plc", PASSWORD)

        def take(thief: Any) -> list[Callable[[], Awaitable[Any]]]:
            thief.uaclient.protocol.authentication_token = victim.uaclient.protocol.authentication_token
            return [
                lambda: thief.uaclient.activate_session(asyncua.ua.ActivateSessionParameters()),
                lambda: read(thief, "State"),
            ]

        try:
            return await looted(guarded.port, take), await read(victim, "State")
        finally:
            await victim.disconnect()

    loot, state = asyncio.run(attack())
    assert all(isinstance(taken, Exception) for taken in loot) and state == "starting"


def test_a_certificate_without_a_uri_and_a_damaged_one_are_named(tmp_path: Path, journal: Journal) -> None:
    (tmp_path / "damaged.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    damaged = tmp_path / "damaged.pem"
    settings = OpcuaSettings("opcua", port=0, allows_anonymous=True, certificate=damaged, private_key=damaged)
    with pytest.raises(UsageError, match="certificate or private_key cannot be used"):
        OpcuaSink(settings, SettledResults(journal)).open()
