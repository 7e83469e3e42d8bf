"""Who may ask: everybody on this machine where the server is bound to it alone, else whoever has the token."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
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
    """

    digest: bytes | None
    is_local: bool

    @classmethod
    def of(cls, table: HttpTable, base: Path) -> Access:
        """The access that a line file grants.

        Raises:
            UsageError: the server would be open to the network without a token, or the token cannot be read.
        """
        # In brackets it is an address's part of a URL, and nothing that a server can be bound to.
        is_local = is_loopback(table.host) and not table.host.startswith("[")
        if table.token_file is None:
            if not is_local:
                raise UsageError(
                    f"[http] host {table.host} can be reached from other machines: give token_file (and tls_cert and "
                    "tls_key), or keep 127.0.0.1"
                )
            return cls(None, is_local)
        if not is_local and table.tls_cert is None and not table.plain_http:
            raise UsageError(
                f"[http] host {table.host} can be reached from other machines, and without TLS the token can be read: "
                "give tls_cert and tls_key, or plain_http = true behind a proxy that has them"
            )
        token = read_token(placed(base, table.token_file), _SHORTEST_TOKEN)
        return cls(hashlib.sha256(token.encode()).digest(), is_local)

    def allows(self, token: str | None) -> bool:
        """Whether a token is the right one; it takes as long either way."""
        if self.digest is None:
            return True
        given = hashlib.sha256((token or "").encode("utf-8", "surrogateescape")).digest()
        return hmac.compare_digest(given, self.digest)

    def serves_host(self, host: str) -> bool:
        """Whether a request's Host header is one of ours: without a token a web page elsewhere may not ask through it.

        A name that somebody points at 127.0.0.1 (DNS rebinding) is not.
        """
        if self.digest is not None:
            return True
        name = host.rsplit(":", 1)[0] if not host.endswith("]") and host.count(":") != 0 else host
        return name in _LOOPBACK_NAMES

    def serves_origin(self, origin: str | None) -> bool:
        """Whether a request comes from a page of this machine, or from no page: without a token no other may write."""
        return origin is None or self.serves_host(urlsplit(origin).netloc)
