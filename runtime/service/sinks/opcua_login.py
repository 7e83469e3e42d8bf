"""Who may open a session at the OPC UA server, and what asyncua's own server would let pass.

Two things that asyncua 2.1 does are not wanted here. It opens a channel without encryption whatever it was told to
offer, and a session over that: so a login without the client's certificate, which such a channel lacks, is refused. It
hands a living session to any connection that names its token, and tokens are counted up: so none is handed over.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ..users import Users

if TYPE_CHECKING:
    from asyncua import Server

# A client or two, a historian, an engineer's browser: whoever opens more has lost count of them.
_MOST_CONNECTIONS = 64

_log = logging.getLogger("cmdiad.line")


class Login:
    """What asyncua calls a user manager."""

    def __init__(self, users: Users | None, allows_anonymous: bool, is_encrypted: bool) -> None:
        """Admit some.

        Args:
            users: those with a password; None: nobody.
            allows_anonymous: whether somebody without a name may enter.
            is_encrypted: whether only encrypted channels are good enough.
        """
        self._users, self._allows_anonymous, self._is_encrypted = users, allows_anonymous, is_encrypted

    def get_user(
        self, iserver: Any, username: str | None = None, password: str | None = None, certificate: Any = None
    ) -> Any:
        """Whom a session belongs to.

        Args:
            iserver: not needed.
            username, password: what the client gave, decrypted.
            certificate: the client's; only channels that are encrypted have one.

        Returns:
            A user who may read and call, and change nothing; None: the login is refused.
        """
        from asyncua.crypto.permission_rules import User, UserRole

        if self._is_encrypted and not certificate:
            _log.warning("opcua: a login over a channel without encryption is refused")
            return None
        if username is None:
            return User(role=UserRole.User) if self._allows_anonymous else None
        if self._users is None or not self._users.may_enter(username, password or ""):
            _log.warning("opcua: the login of %r is refused", username)
            return None
        return User(role=UserRole.User, name=username)


def new_server(login: Login, allows_anonymous: bool, has_users: bool) -> Server:
    """A server of asyncua that admits whom `login` does, and nobody by another door."""
    from asyncua import Server, ua
    from asyncua.server.internal_server import InternalServer

    inner = InternalServer(user_manager=login)
    doors = vars(inner)
    doors["lookup_external_session"] = lambda token: None
    doors["register_server"] = doors["register_server2"] = _refuse_registration
    inner.allow_remote_admin = False
    inner.max_connections = _MOST_CONNECTIONS
    server = Server(iserver=inner)
    tokens: list[type] = [ua.AnonymousIdentityToken] if allows_anonymous else []
    server.set_identity_tokens([*tokens, ua.UserNameIdentityToken] if has_users else tokens)
    return server


def _refuse_registration(*_: Any) -> None:
    """Other servers do not make themselves known here.

    Raises:
        UaStatusCodeError: always.
    """
    from asyncua import ua

    raise ua.uaerrors.BadServiceUnsupported
