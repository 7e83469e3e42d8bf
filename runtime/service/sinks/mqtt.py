"""Results to an MQTT broker: each one is published with QoS 1 and acknowledged before the next.

Below the topic of the line there are three: `result` (a part's record as JSON), `status` (how the line is; retained)
and `online` (`true` or `false`; retained, and `false` too when the line vanishes, as its last will).
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...errors import OutputError, UsageError
from ...files.json_encoding import encode_json
from ..arrival import PartRecord
from ..loopback import is_loopback
from ..secret_file import read_secret

MqttVersion = Literal["5", "3.1.1"]

_AT_LEAST_ONCE = 1
_KEEP_ALIVE_SECONDS = 30
# How long the broker keeps what it knows of this client after the connection is gone.
_SESSION_SECONDS = 24 * 3600

_log = logging.getLogger("cmdiad.line")


@dataclass(frozen=True)
class MqttSettings:
    """Which broker, and who we are to it.

    Attributes:
        name: of the sink.
        host, port: the broker's.
        topic: what all topics begin with.
        client_id: the same at every connection, and nobody else's at this broker.
        version: of the protocol; with 3.1.1 a broker cannot say that it refuses a message.
        username, password_file: how to log in; None: without.
        tls: whether to speak TLS, with the system's authorities where `tls_ca` is None.
        tls_ca: authorities to trust, PEM.
        tls_cert, tls_key: our own certificate, PEM, where the broker asks for one.
        patience_seconds: how long to wait for the broker, each time.
    """

    name: str
    host: str
    port: int
    topic: str
    client_id: str
    version: MqttVersion = "5"
    username: str | None = None
    password_file: Path | None = None
    tls: bool = False
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    patience_seconds: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: a key lacks another one, or the topic has characters that filters are made of.
        """
        if not self.topic or set(self.topic) & set("#+\0") or self.topic[0] in "$/" or self.topic.endswith("/"):
            raise UsageError(
                f"mqtt {self.name!r}: topic {self.topic!r} cannot be published to: "
                "no # or + in it, no $ or / in front, no / at the end"
            )
        if self.password_file is not None and self.username is None:
            raise UsageError(f"mqtt {self.name!r}: password_file without username: give both")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise UsageError(f"mqtt {self.name!r}: only one of tls_cert and tls_key is given: give both or neither")
        if (self.tls_cert or self.tls_ca) and not self.tls:
            raise UsageError(f"mqtt {self.name!r}: certificates without TLS: set tls = true")


class MqttSink:
    """A broker that is told every result.

    Attributes:
        name: in the journal, the metrics and the log.
        is_server: False; the broker is.
        passed_over: 0; what a broker refuses is tried again.
    """

    def __init__(self, settings: MqttSettings) -> None:
        """A sink that connects when it is opened.

        Raises:
            UsageError: a file of the settings cannot be used.
        """
        self.name, self._settings, self.passed_over = settings.name, settings, 0
        self.is_server = False
        self._connection: BrokerConnection | None = None
        _secret(settings)
        _tls(settings)
        if settings.password_file is not None and not settings.tls and not is_loopback(settings.host):
            _log.warning("mqtt %s: the password goes to %s unencrypted: set tls = true", self.name, settings.host)

    def open(self) -> None:
        """Connect, and say that the line is there.

        Raises:
            OutputError: the broker cannot be reached, or refuses.
            UsageError: a file of the settings cannot be used.
        """
        self.close()
        self._connection = BrokerConnection(self._settings)
        self._connection.publish("online", b"true", is_retained=True)

    def deliver(self, record: PartRecord) -> None:
        """Publish a result, and wait until the broker has it.

        Raises:
            OutputError: it has not, or nobody knows.
        """
        self._connected().publish("result", encode_json(record), is_retained=False)

    def tell(self, status: dict[str, Any]) -> None:
        """Publish how the line is.

        Raises:
            OutputError: the broker did not take it.
        """
        self._connected().publish("status", encode_json(status), is_retained=True)

    def close(self) -> None:
        """Say that the line is gone, and disconnect."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connected(self) -> BrokerConnection:
        if self._connection is None:
            raise OutputError(f"mqtt {self.name!r}: is not connected")
        return self._connection


class BrokerConnection:
    """One connection, which is never mended: after an error a new one is made."""

    def __init__(self, settings: MqttSettings) -> None:
        """Connect.

        Raises:
            OutputError: the broker cannot be reached, or refuses.
            UsageError: a file of the settings cannot be used.
        """
        self._settings = settings
        self._where = f"the broker {settings.host}:{settings.port}"
        self._changed = threading.Condition()
        self._is_accepted = False
        self._problem: str | None = None
        self._refusals: dict[int, str | None] = {}
        self._client = _client(settings)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        try:
            self._client.connect(settings.host, settings.port, _KEEP_ALIVE_SECONDS, **_session(settings))
        except (OSError, ValueError) as cause:
            raise OutputError(
                f"{self._where} cannot be reached: {getattr(cause, 'strerror', None) or cause}"
            ) from cause
        self._client.loop_start()
        try:
            self._wait(lambda: self._is_accepted, "did not answer")
        except OutputError:
            self._let_go()
            raise

    def publish(self, topic: str, payload: bytes, is_retained: bool) -> None:
        """Publish, and wait for the broker's acknowledgement.

        Args:
            topic: below that of the line.
            payload: what is sent.
            is_retained: whether whoever subscribes later gets it, too.

        Raises:
            OutputError: there was none in time, or it was a refusal.
        """
        full_topic = f"{self._settings.topic}/{topic}"
        # Not under the lock: paho calls `_on_publish` with a lock of its own that this takes.
        sent = self._client.publish(full_topic, payload, qos=_AT_LEAST_ONCE, retain=is_retained)
        self._wait(lambda: sent.mid in self._refusals, f"did not acknowledge a message to {full_topic}")
        with self._changed:
            refusal = self._refusals.pop(sent.mid)
        if refusal is not None:
            raise OutputError(f"{self._where} refuses messages to {full_topic}: {refusal}")

    def close(self) -> None:
        """Say `false` where that is possible, and disconnect."""
        try:
            if self._problem is None:
                self.publish("online", b"false", is_retained=True)
        except OutputError as error:
            _log.debug("mqtt %s: %s", self._settings.name, error)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _wait(self, has_come: Callable[[], bool], complaint: str) -> None:
        with self._changed:
            self._changed.wait_for(lambda: has_come() or self._problem is not None, self._settings.patience_seconds)
            if has_come():
                return
            if self._problem is not None:
                raise OutputError(f"{self._where} {self._problem}")
        raise OutputError(f"{self._where} {complaint} within {self._settings.patience_seconds:g} s")

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        with self._changed:
            if reason.is_failure:
                self._problem = f"refuses the connection: {reason}"
            self._is_accepted = not reason.is_failure
            self._changed.notify_all()

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        with self._changed:
            self._problem = self._problem or f"ended the connection: {reason}"
            self._changed.notify_all()

    def _on_publish(self, client: Any, data: Any, message_id: int, reason: Any, properties: Any) -> None:
        with self._changed:
            self._refusals[message_id] = str(reason) if reason.is_failure else None
            self._changed.notify_all()


def _client(settings: MqttSettings) -> Any:
    """A client of the library that is not connected yet, with its last will."""
    from paho.mqtt import client as paho

    is_new = settings.version == "5"
    client = paho.Client(
        paho.CallbackAPIVersion.VERSION2,
        client_id=settings.client_id,
        clean_session=None if is_new else False,
        protocol=paho.MQTTv5 if is_new else paho.MQTTv311,
        reconnect_on_failure=False,
    )
    client.connect_timeout = settings.patience_seconds
    client.will_set(f"{settings.topic}/online", b"false", qos=_AT_LEAST_ONCE, retain=True)
    if settings.username is not None:
        client.username_pw_set(settings.username, _secret(settings))
    context = _tls(settings)
    if context is not None:
        client.tls_set_context(context)
    return client


def _session(settings: MqttSettings) -> dict[str, Any]:
    """How to take up the session of the connection before."""
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    if settings.version != "5":
        return {}
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = _SESSION_SECONDS
    return {"clean_start": False, "properties": properties}


def _secret(settings: MqttSettings) -> str | None:
    return None if settings.password_file is None else read_secret(settings.password_file)


def _tls(settings: MqttSettings) -> ssl.SSLContext | None:
    if not settings.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca)
        if settings.tls_cert is not None:
            context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except OSError as cause:
        raise UsageError(f"mqtt {settings.name!r}: the TLS files cannot be used: {cause}") from cause
    return context
