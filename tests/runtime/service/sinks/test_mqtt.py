"""Results at a real broker, which is stopped and started in the middle of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cmdiad.runtime.errors import OutputError, UsageError
from cmdiad.runtime.service.arrival import PartRecord
from cmdiad.runtime.service.journal import Journal
from cmdiad.runtime.service.sinks.mqtt import MqttSettings, MqttSink

paho = pytest.importorskip("paho.mqtt.client")
# Debian has it where the path of an ordinary user does not lead.
MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="there is no mosquitto here")

Record = Callable[..., PartRecord]
Finish = Callable[..., list[PartRecord]]
Wait = Callable[..., None]

# A line that holds the sink and does nothing more.
CHILD = """
import sys, time
from cmdiad.runtime.service.sinks.mqtt import MqttSettings, MqttSink
sink = MqttSink(MqttSettings("child", "127.0.0.1", int(sys.argv[1]), "plant/line", "child"))
sink.open()
sink.tell({"state": "busy"})
print("open", flush=True)
time.sleep(60)
"""


class Broker:
    """Mosquitto on a port of its own."""

    def __init__(self, folder: Path, *lines: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._settings = folder / "mosquitto.conf"
        common = (f"listener {self.port} 127.0.0.1", "log_dest none", "user root")
        # What it has for a listener that is not there outlives it.
        common += ("persistence true", f"persistence_location {folder}/")
        self._settings.write_text("\n".join((*common, *(lines or ("allow_anonymous true",)))) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert MOSQUITTO is not None
        self._process = subprocess.Popen([MOSQUITTO, "-c", str(self._settings)], stdout=-3, stderr=-3)
        deadline = time.monotonic() + 10
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert time.monotonic() < deadline and self._process.poll() is None, "mosquitto did not start"
            time.sleep(0.01)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None


class Listener:
    """A subscriber that connects again whenever it can, and writes down what it hears."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self.is_there = threading.Event()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False)
        self.client.on_connect = lambda client, *_: client.subscribe("plant/#", qos=1)
        self.client.on_subscribe = lambda *_: self.is_there.set()
        self.client.on_message = lambda client, data, message: self.heard.append(
            (message.topic, message.payload, message.retain)
        )
        self.client.reconnect_delay_set(1, 1)
        self.client.connect_async("127.0.0.1", port)
        self.client.loop_start()

    def payloads(self, topic: str) -> list[bytes]:
        return [payload for name, payload, _ in list(self.heard) if name == topic]

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def listen() -> Iterator[Callable[[int], Listener]]:
    listeners: list[Listener] = []

    def start(port: int) -> Listener:
        listeners.append(Listener(port))
        assert listeners[-1].is_there.wait(10)
        return listeners[-1]

    yield start
    for listener in listeners:
        listener.stop()


def sink_at(port: int, **keys: Any) -> MqttSink:
    return MqttSink(MqttSettings("mqtt", "127.0.0.1", port, "plant/line", "line-1", patience_seconds=3.0, **keys))


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_result_arrives_whole_and_status_and_presence_are_retained(
    broker: Broker, listen: Callable[[int], Listener], record_of: Record, wait_until: Wait, version: str
) -> None:
    sink, before = sink_at(broker.port, version=version), listen(broker.port)
    sink.open()
    sink.deliver(record_of(8, "defect"))
    sink.tell({"state": "ready", "problems": []})
    wait_until(lambda: len(before.heard) == 3)
    assert [topic for topic, _, _ in before.heard] == [f"plant/line/{name}" for name in ("online", "result", "status")]
    result = json.loads(before.heard[1][1])
    assert (result["number"], result["verdict"], result["part_id"], result["score"]) == (8, "defect", "P0008", 1.0)
    before.stop()
    after = listen(broker.port)
    wait_until(lambda: len(after.heard) == 2)
    assert sorted(after.heard) == [
        ("plant/line/online", b"true", True),
        ("plant/line/status", b'{"state":"ready","problems":[]}', True),
    ]
    sink.close()
    wait_until(lambda: after.payloads("plant/line/online")[-1] == b"false")


def test_none_of_200_results_is_lost_when_the_broker_dies_in_the_middle(
    broker: Broker,
    listen: Callable[[int], Listener],
    journal: Journal,
    finish: Finish,
    deliver: Callable[[Any], Any],
    wait_until: Wait,
) -> None:
    def numbers() -> list[int]:
        return [json.loads(payload)["number"] for payload in listener.payloads("plant/line/result")]

    listener = listen(broker.port)
    finish(100, "mqtt")
    delivery = deliver(sink_at(broker.port))
    wait_until(lambda: len(numbers()) > 20)
    broker.stop()
    finish(100, "mqtt")
    delivery.wake()
    wait_until(lambda: delivery.problem is not None)
    assert journal.count_undelivered("mqtt") >= 100 and "the broker 127.0.0.1" in delivery.problem
    broker.start()
    wait_until(lambda: 200 in numbers() and not journal.count_undelivered("mqtt"))
    wait_until(lambda: delivery.problem is None)
    heard = numbers()
    firsts = list(dict.fromkeys(heard))
    assert firsts == list(range(1, 201))
    # What comes again is what was under way at the break, by the sink or by the broker (at most 20 a client).
    assert len(heard) - len(firsts) <= 21


def test_the_last_will_says_that_a_killed_line_is_gone(
    broker: Broker, listen: Callable[[int], Listener], wait_until: Wait
) -> None:
    listener = listen(broker.port)
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(broker.port)], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None and child.stdout.readline() == b"open\n"
        wait_until(lambda: listener.payloads("plant/line/online") == [b"true"])
        os.kill(child.pid, signal.SIGKILL)
        wait_until(lambda: listener.payloads("plant/line/online") == [b"true", b"false"])
    finally:
        child.kill()
        child.communicate()
    assert listener.payloads("plant/line/status") == [b'{"state":"busy"}']


def test_a_broker_that_wants_a_password_gets_it_from_the_file(tmp_path: Path, record_of: Record) -> None:
    passwords, rights, secret = (tmp_path / name for name in ("passwords", "rights", "secret"))
    passwords.write_text("line:correct horse\n")
    hashing = shutil.which("mosquitto_passwd")
    if hashing is None:
        pytest.skip("there is no mosquitto_passwd here")
    subprocess.run([hashing, "-U", passwords], check=True)
    rights.write_text("user line\ntopic write plant/line/online\ntopic write plant/line/status\n")
    broker = Broker(tmp_path, "allow_anonymous false", f"password_file {passwords}", f"acl_file {rights}")
    broker.start()
    try:
        secret.write_text("wrong horse\n")
        sink = sink_at(broker.port, username="line", password_file=secret)
        with pytest.raises(OutputError, match="refuses the connection: Not authorized"):
            sink.open()
        secret.write_text("correct horse\n")
        sink.open()
        # Without this a broker that throws results away would look like one that takes them.
        with pytest.raises(OutputError, match="refuses messages to plant/line/result: Not authorized"):
            sink.deliver(record_of(1))
        sink.close()
    finally:
        broker.stop()


# paho leaves the socket of a handshake that failed to the collector of garbage.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_broker_with_a_certificate_is_spoken_to_in_tls_and_one_of_a_stranger_is_not(
    tmp_path: Path, own_certificate: tuple[Path, Path], record_of: Record
) -> None:
    certificate, key = own_certificate
    broker = Broker(tmp_path, "allow_anonymous true", f"certfile {certificate}", f"keyfile {key}")
    broker.start()
    try:
        sink = sink_at(broker.port, tls=True, tls_ca=certificate)
        sink.open()
        sink.deliver(record_of(1))
        sink.close()
        with pytest.raises(OutputError, match=r"cannot be reached: .*certificate verify failed"):
            sink_at(broker.port, tls=True).open()
        (tmp_path / "none.pem").write_text("nothing")
        with pytest.raises(UsageError, match="TLS files cannot be used"):
            sink_at(broker.port, tls=True, tls_ca=tmp_path / "none.pem").open()
    finally:
        broker.stop()


def test_a_broker_that_is_silent_or_absent_is_an_error_in_time(record_of: Record) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        settings = MqttSettings("mqtt", "127.0.0.1", port, "plant/line", "line-1", patience_seconds=0.1)
        with pytest.raises(OutputError, match=r"did not answer within 0\.1 s"):
            MqttSink(settings).open()
    with pytest.raises(OutputError, match="cannot be reached"):
        MqttSink(settings).open()
    with pytest.raises(OutputError, match="is not connected"):
        MqttSink(settings).deliver(record_of(1))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"topic": "plant/#"}, "cannot be published to"),
        ({"topic": "$SYS/line"}, "cannot be published to"),
        ({"password_file": Path("secret")}, "password_file without username"),
        ({"tls": True, "tls_cert": Path("a")}, "give both or neither"),
        ({"tls_ca": Path("a")}, "set tls = true"),
    ],
)
def test_settings_that_make_no_sense_are_refused(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        MqttSettings(**{"name": "mqtt", "host": "h", "port": 1, "topic": "t", "client_id": "c", **keys})
