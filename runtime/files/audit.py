"""An audit trail: who changed which bundle, when, with which scans; lines are only ever added, and are chained.

Every line of `audit.jsonl` is a JSON object that holds the SHA-256 of the line before it, so that a line that was
changed, removed or put in between is noticed. Only someone who keeps a later line, or its number, can tell whether the
last lines are missing.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import msgspec

from ..errors import BundleError
from .atomic import naming_place, sync_folder
from .json_encoding import encode_json
from .ownership import locked

AUDIT_FILE = "audit.jsonl"
MAX_LINE_BYTES = 4 << 20
_FIRST = "0" * 64


class AuditedScan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A scan that was learned from, and the SHA-256 of its file."""

    name: str
    sha256: str


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of an audit trail. Make it with `AuditEntry.now`; `append_audit` chains it.

    Attributes:
        number: of the line, from 1; 0 before it is appended.
        when_utc: ISO 8601, to the second.
        user, host: of the system.
        action: what was done, such as update or swap.
        command: as it was typed.
        bundle_before, bundle_after: the digests of the manifests; None if there is no such bundle.
        scans: what was learned from.
        details: anything else, by name.
        previous: the SHA-256 of the line before; zeros for the first.
    """

    number: int = 0
    when_utc: str
    user: str
    host: str
    action: str
    command: list[str] = []
    bundle_before: str | None = None
    bundle_after: str | None = None
    scans: list[AuditedScan] = []
    details: dict[str, str] = {}
    previous: str = _FIRST

    @classmethod
    def now(
        cls,
        action: str,
        command: Sequence[str] = (),
        bundle_before: str | None = None,
        bundle_after: str | None = None,
        scans: Sequence[AuditedScan] = (),
        details: dict[str, str] | None = None,
    ) -> AuditEntry:
        """Of this moment, user and machine."""
        return cls(
            when_utc=datetime.now(UTC).isoformat(timespec="seconds"),
            user=_user(),
            host=platform.node() or "unknown",
            action=action,
            command=list(command),
            bundle_before=bundle_before,
            bundle_after=bundle_after,
            scans=list(scans),
            details=details or {},
        )


def append_audit(path: Path, entry: AuditEntry) -> AuditEntry:
    """Add a line, on disk when this returns; processes that append at the same time wait for each other.

    Returns:
        The entry as written, with its number and the digest of the line before.

    Raises:
        BundleError: the last line is not one of an audit trail, so that nothing can be chained to it.
        OutputError: the file cannot be written.
    """
    with naming_place(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as stream, locked(stream.fileno()):
            last = _last_line(path, stream)
            number = 1 if last is None else _decoded(path, last, "the last line").number + 1
            previous = _FIRST if last is None else hashlib.sha256(last).hexdigest()
            chained = msgspec.structs.replace(entry, number=number, previous=previous)
            stream.write(encode_json(chained) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        sync_folder(path.parent)
    return chained


def verify_audit(path: Path) -> list[AuditEntry]:
    """Read an audit trail and check its chain; a trail that is not there is empty.

    Raises:
        BundleError: a line was changed, removed or put in between; names the first place at which it shows.
    """
    entries: list[AuditEntry] = []
    previous = _FIRST
    try:
        with path.open("rb") as stream:
            while line := stream.readline(MAX_LINE_BYTES + 1):
                where = f"line {len(entries) + 1}"
                if not line.endswith(b"\n"):
                    raise BundleError(f"{path}: {where} is cut off: {_ADVICE}")
                entry = _decoded(path, line[:-1], where)
                if entry.number != len(entries) + 1 or entry.previous != previous:
                    raise BundleError(f"{path}: {where} does not follow the one before it: {_ADVICE}")
                entries.append(entry)
                previous = hashlib.sha256(line[:-1]).hexdigest()
    except FileNotFoundError:
        return []
    except OSError as cause:
        raise BundleError(f"{path}: cannot be read: {cause.strerror}") from cause
    return entries


_ADVICE = "lines were changed or removed: compare it with an earlier copy, and move it away to start a new one"


def _last_line(path: Path, stream: BinaryIO) -> bytes | None:
    """Without its line break; None for an empty file."""
    size = stream.seek(0, os.SEEK_END)
    if not size:
        return None
    stream.seek(max(0, size - MAX_LINE_BYTES - 1))
    tail = stream.read()
    if not tail.endswith(b"\n"):
        raise BundleError(f"{path}: the last line is cut off: {_ADVICE}")
    return tail[:-1].rpartition(b"\n")[2]


def _decoded(path: Path, line: bytes, where: str) -> AuditEntry:
    try:
        return msgspec.json.decode(line, type=AuditEntry)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as cause:
        raise BundleError(f"{path}: {where} is not an entry of an audit trail ({cause}): {_ADVICE}") from cause


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        return "unknown"
