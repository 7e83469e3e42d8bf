"""Listening on a port, or saying why that cannot be: which port, of what, and what to do."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import ExitStack

from ..errors import MachineError

_ADVICE = {
    errno.EADDRINUSE: "is in use: stop the program that listens there (`ss -ltnp` names it), or give another port",
    errno.EADDRNOTAVAIL: "cannot be listened on, because the address is not this machine's: correct host",
    errno.EACCES: "needs a right that this user does not have: give a port from 1024 on, or the right to use this one",
}
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_TO_LISTEN = socket.AI_PASSIVE


def listening_sockets(who: str, host: str, port: int) -> list[socket.socket]:
    """Sockets bound to every address of a host, as a server takes them.

    Args:
        who: the table of the line file that says so, for messages.
        host: a name or an address.
        port: of all of them.

    Raises:
        MachineError: another program listens there, or the address is not this machine's.
    """
    where = f"{who}: port {port} of {host}"
    with ExitStack() as opened:
        sockets: list[socket.socket] = []
        refusal: OSError | None = None
        try:
            for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=_TO_LISTEN):
                try:
                    sockets.append(opened.enter_context(_bound(family, address)))
                except OSError as error:
                    # A name may have an address of a kind that this machine does not use: one that works is enough.
                    if error.errno not in _NOT_HERE:
                        raise
                    refusal = error
            if refusal is not None and not sockets:
                raise refusal
        except socket.gaierror as cause:
            raise MachineError(f"{where} cannot be listened on: {cause.strerror}: correct host") from cause
        except OSError as cause:
            why = _ADVICE.get(cause.errno or 0, f"cannot be listened on: {cause.strerror or cause}")
            raise MachineError(f"{where} {why}") from cause
        opened.pop_all()
    return sockets


def require_ports(ports: list[tuple[str, str, int]]) -> None:
    """Refuse ports that are in use, or that two of a list share; nothing listens when this returns.

    Args:
        ports: who listens, the host, and the port, as `listening_sockets` takes them.

    Raises:
        MachineError: one cannot be listened on.
    """
    with ExitStack() as opened:
        for who, host, port in ports:
            for bound in listening_sockets(who, host, port):
                opened.enter_context(bound)


def _bound(family: int, address: tuple[object, ...]) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            # Else connections of a line that has just ended keep the port for a minute.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
        bound.listen()
    except OSError:
        bound.close()
        raise
    return bound
