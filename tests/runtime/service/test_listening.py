"""A port that cannot be listened on is named, with what to do."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest
from cmdiad.runtime.errors import MachineError
from cmdiad.runtime.service import listening
from cmdiad.runtime.service.listening import listening_sockets, require_ports


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(MachineError, match=rf"\[http\]: port {port} of 127.0.0.1 is in use: stop the program"):
            listening_sockets("[http]", "127.0.0.1", port)


@pytest.mark.parametrize(("host", "words"), [("192.0.2.1", "is not this machine's"), ("no such host", "correct host")])
def test_an_address_that_is_another_machines_is_refused(host: str, words: str) -> None:
    with pytest.raises(MachineError, match=words):
        listening_sockets("[http]", host, free_port())


def test_two_servers_on_one_port_are_refused_and_nothing_listens_afterwards() -> None:
    port = free_port()
    with pytest.raises(MachineError, match=f"opcua: port {port} of 127.0.0.1 is in use"):
        require_ports([("[http]", "127.0.0.1", port), ("opcua", "127.0.0.1", port)])
    require_ports([("[http]", "127.0.0.1", port)])
    require_ports([("[http]", "127.0.0.1", port)])


def test_a_name_with_an_address_of_a_kind_that_is_not_used_here_is_listened_on(monkeypatch: pytest.MonkeyPatch) -> None:
    bound = listening._bound

    def only_ipv4(family: int, address: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return bound(family, address)

    both = [(family, socket.SOCK_STREAM, 0, "", (host, 0)) for family, host in ADDRESSES]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    monkeypatch.setattr(listening, "_bound", only_ipv4)
    (one,) = listening_sockets("[http]", "localhost", 0)
    assert one.family == socket.AF_INET
    one.close()


ADDRESSES = ((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1"))
