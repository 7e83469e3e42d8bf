"""Results to an address: each one is posted as JSON, and every answer but a success or a refusal is tried again."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Collection
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ....version import __version__
from ...choices import Verdict
from ...errors import OutputError, UsageError
from ...files.json_encoding import encode_json
from ..arrival import PartRecord
from ..loopback import is_loopback
from ..secret_file import read_token

# Refusals that concern the address, our token or the hour, and would meet every other result as well.
_NOT_THE_RESULTS_FAULT = frozenset({401, 403, 404, 405, 407, 408, 410, 421, 423, 425, 426, 429})

_log = logging.getLogger("cmdiad.line")


@dataclass(frozen=True)
class WebhookSettings:
    """Where results are posted.

    Attributes:
        name: of the sink.
        url: http or https.
        journal_id: what `Idempotency-Key` begins with.
        verdicts: those that are posted.
        token_file: the bearer token; None: none is sent.
        tls_ca: authorities to trust in place of the system's, PEM.
        timeout_seconds: for connecting, and for every read and write.
    """

    name: str
    url: str
    journal_id: str
    verdicts: Collection[Verdict] = ("good", "defect", "error")
    token_file: Path | None = None
    tls_ca: Path | None = None
    timeout_seconds: float = 10.0

    def __post_init__(self) -> None:
        """Refuse an address that nothing can be posted to.

        Raises:
            UsageError: it is not an address, or has a password in it.
        """
        try:
            parts = urlsplit(self.url)
            is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_one = False
        if not is_one or not self.url.isascii() or not self.url.isprintable() or " " in self.url:
            raise UsageError(f"webhook {self.name!r}: url is not an address: give http(s)://host[:port]/path in ASCII")
        if parts.username is not None or parts.password is not None:
            raise UsageError(f"webhook {self.name!r}: url has a password in it: put a token into token_file")


@dataclass(frozen=True)
class PostAnswer:
    """What came back of a post.

    Attributes:
        status: of HTTP.
        reason: the words beside it.
        location: where it redirects to.
    """

    status: int
    reason: str
    location: str | None


class WebhookSink:
    """An address that every result is posted to.

    Attributes:
        name: in the journal, the metrics and the log.
        is_server: False; it asks the address.
        passed_over: how many results the address refused for good since the start; the log has their numbers.
    """

    def __init__(self, settings: WebhookSettings) -> None:
        """A sink that connects for every result.

        Raises:
            UsageError: a file of the settings cannot be used.
        """
        self.name, self._settings, self.passed_over = settings.name, settings, 0
        self.is_server = False
        self._address = urlsplit(settings.url)
        self._token: str | None = None
        self._tls: ssl.SSLContext | None = None
        self.open()
        if settings.token_file and self._address.scheme == "http" and not is_loopback(self._address.hostname or ""):
            _log.warning("webhook %s: the token goes to %s unencrypted: use https", self.name, self._address.hostname)

    def open(self) -> None:
        """Read the token, which may have changed.

        Raises:
            UsageError: a file of the settings cannot be used.
        """
        file, authorities = self._settings.token_file, self._settings.tls_ca
        self._token = None if file is None else read_token(file)
        if self._address.scheme == "https":
            try:
                self._tls = ssl.create_default_context(cafile=authorities)
            except OSError as cause:
                raise UsageError(f"webhook {self.name!r}: tls_ca {authorities} cannot be used: {cause}") from cause

    def deliver(self, record: PartRecord) -> None:
        """Post a result, if it has one of the verdicts asked for.

        Raises:
            OutputError: it has not arrived, or nobody knows.
        """
        if record.verdict not in self._settings.verdicts:
            return
        answer = self._post(record)
        if 200 <= answer.status < 300:
            return
        words = f"{self._settings.url} answered {answer.status} {answer.reason}".rstrip()
        if answer.location is not None and 300 <= answer.status < 400:
            raise OutputError(f"{words}: redirects are not followed: set url to {answer.location} if you trust it")
        if not 400 <= answer.status < 500 or answer.status in _NOT_THE_RESULTS_FAULT:
            raise OutputError(words)
        self.passed_over += 1
        _log.warning(
            "sink %s: part %d is refused permanently and passed over: %s",
            self.name,
            record.number,
            words,
            extra={"sink": self.name, "number": record.number, "status": answer.status},
        )

    def tell(self, status: dict[str, Any]) -> None:
        """Addresses get results alone."""

    def close(self) -> None:
        """Nothing is held between two results."""

    def _post(self, record: PartRecord) -> PostAnswer:
        address, seconds = self._address, self._settings.timeout_seconds
        host = address.hostname or ""
        connection = (
            HTTPConnection(host, address.port, timeout=seconds)
            if self._tls is None
            else HTTPSConnection(host, address.port, timeout=seconds, context=self._tls)
        )
        target = (address.path or "/") + (f"?{address.query}" if address.query else "")
        try:
            connection.request("POST", target, encode_json(record), self._headers(record.number))
            response = connection.getresponse()
            return PostAnswer(response.status, response.reason, response.getheader("Location"))
        except (OSError, HTTPException) as cause:
            words = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
            raise OutputError(f"{self._settings.url} cannot be posted to: {words}") from cause
        finally:
            connection.close()

    def _headers(self, number: int) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": f"{self._settings.journal_id}-{number}",
            "User-Agent": f"cmdiad-rt/{__version__}",
            "Connection": "close",
        }
        return headers if self._token is None else {**headers, "Authorization": f"Bearer {self._token}"}
