"""Who may ask: everybody on this machine if the server is bound to it alone, otherwise whoever has the token.

Either way the server answers only to its own names: a name that somebody points at it (DNS rebinding) would let a web
page from elsewhere ask through a browser in the plant.
"""

from __future__ import annotations

import hashlib
import hmac
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import UsageError
from .line_file import HttpTable, placed
from .loopback import is_loopback
from .secret_file import read_token

COOKIE = "cmdiad_token"
_SHORTEST_TOKEN = 16
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]", "::1")


@dataclass(frozen=True)
class Access:
    """What a server asks of requests.

    Attributes:
        digest: SHA-256 of the token; None: none is needed.
        is_local: whether only this machine is served.
        names: what the server is called besides `localhost`, lower case; without a token it answers to none of them.
    """

    digest: bytes | None
    is_local: bool
    names: frozenset[str] = frozenset()

    @classmethod
    def of(cls, table: HttpTable, base: Path) -> Access:
        """The access that a line file grants.

        Raises:
            UsageError: the server would be open to the network without a token, or the token cannot be read, or names
                are given that would not be served.
        """
        # In brackets it is an address's part of a URL, and nothing that a server can be bound to.
        is_local = is_loopback(table.host) and not table.host.startswith("[")
        if table.token_file is None:
            if not is_local:
                raise UsageError(
                    f"[http] host {table.host} can be reached from other machines: give token_file (and tls_cert and "
                    "tls_key), or keep 127.0.0.1"
                )
            if table.names:
                raise UsageError(
                    "[http] names: without a token only localhost and 127.0.0.1 are served: give token_file too, or "
                    "leave names out"
                )
            return cls(None, is_local)
        if not is_local and table.tls_cert is None and not table.plain_http:
            raise UsageError(
                f"[http] host {table.host} can be reached from other machines, and without TLS the token can be read: "
                "give tls_cert and tls_key, or plain_http = true behind a proxy that has them"
            )
        token = read_token(placed(base, table.token_file), _SHORTEST_TOKEN)
        machine = socket.gethostname()
        names = frozenset(name.lower() for name in (table.host, machine, machine.partition(".")[0], *table.names))
        return cls(hashlib.sha256(token.encode()).digest(), is_local, names)

    @property
    def advice(self) -> str:
        """What to do about a request to a name that is not served."""
        if self.digest is None:
            return "address this server as localhost or 127.0.0.1"
        return "this server does not go by that name: address it by IP address, or add the name to [http] names"

    def allows(self, token: str | None) -> bool:
        """Whether a token is the right one; it takes as long either way."""
        if self.digest is None:
            return True
        given = hashlib.sha256((token or "").encode("utf-8", "surrogateescape")).digest()
        return hmac.compare_digest(given, self.digest)

    def serves_host(self, host: str) -> bool:
        """Whether a request's Host header is one of ours.

        Without a token these are this machine's own names; with one also its host name, every IP address, which nobody
        can point elsewhere, and the names of the line file.
        """
        name = _without_port(host).lower()
        if name in _LOOPBACK_NAMES:
            return True
        return self.digest is not None and (name in self.names or _is_address(name))

    def serves_origin(self, origin: str | None) -> bool:
        """Whether a request comes from a page of ours, or from no page: no other may write."""
        if origin is None:
            return True
        try:
            return self.serves_host(urlsplit(origin).netloc)
        except ValueError:  # no address at all
            return False


def _without_port(host: str) -> str:
    return host.rsplit(":", 1)[0] if not host.endswith("]") and host.count(":") != 0 else host


def _is_address(name: str) -> bool:
    try:
        ip_address(name[1:-1] if name.startswith("[") and name.endswith("]") else name)
    except ValueError:
        return False
    return True
