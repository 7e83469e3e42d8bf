"""What is wrong with a line file's places and secrets, reported before anything is opened.

A scan that a line moves or writes to where it looks for scans is inspected again and again; that is refused here.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError
from .access import Access
from .line_file import FolderTable, HttpTable, LineFile, OpcuaTable, placed
from .secret_file import read_secret, read_token
from .sources.hot_folder import default_done


def require_sound_places(file: LineFile, base: Path) -> None:
    """Look at a line's folders, tokens and certificates, without making or opening anything.

    Args:
        file: see `read_line_file`.
        base: the folder that its paths are relative to.

    Raises:
        UsageError: a folder is a file, or takes in what the line itself writes; or a token, password or certificate
            cannot be used.
    """
    out = placed(base, file.line.out)
    _require_folder("out", out, "give a folder for results")
    for folder in file.folder:
        _check_folder(folder, base, out)
        for other in file.folder:
            _refuse_what_others_take(folder, other, base)
    for opcua in file.opcua:
        _refuse_two_ways_in(opcua, file.folder, base)
    _check_secrets(file, base)


def _check_folder(folder: FolderTable, base: Path, out: Path) -> None:
    who, path = f"folder {folder.name!r}", placed(base, folder.path)
    _require_folder(who, path, "give the folder that scans are written to")
    if path.resolve().is_relative_to(out.resolve()):
        raise UsageError(
            f"{who}: {path} is in the results folder, {out}, where old files are removed: give one outside"
        )
    if _takes(folder, base, out):
        raise UsageError(
            f"{who}: looks into the results folder, {out}, and would inspect what is written there: put `out` "
            "elsewhere, or make the folder non-recursive"
        )


def _refuse_what_others_take(folder: FolderTable, other: FolderTable, base: Path) -> None:
    path = placed(base, folder.path)
    if folder.after == "move":
        done = default_done(path) if folder.done is None else placed(base, folder.done)
        _require_folder(f"folder {folder.name!r}, done", done, "give a folder")
        if _takes(other, base, done):
            raise UsageError(
                f"folder {folder.name!r}: moves scans to {done}, where folder {other.name!r} would take them again: "
                "give `done` outside"
            )
    shares = folder is not other and (_takes(other, base, path) or _takes(folder, base, placed(base, other.path)))
    if shares and folder.after != "leave":
        raise UsageError(
            f"folder {folder.name!r}: takes scans away ({folder.after}) that folder {other.name!r} watches too: "
            'say after = "leave" for both, or keep them apart'
        )


def _refuse_two_ways_in(opcua: OpcuaTable, folders: Sequence[FolderTable], base: Path) -> None:
    """A file that is triggered must not come by a hot folder as well."""
    if opcua.trigger_folder is None:
        return
    place = placed(base, opcua.trigger_folder)
    _require_folder(f"opcua {opcua.name!r}, trigger_folder", place, "give a folder")
    for folder in folders:
        if _takes(folder, base, place):
            raise UsageError(
                f"opcua {opcua.name!r}: folder {folder.name!r} takes what is in trigger_folder {place} too, and would "
                "inspect it twice: give another"
            )


def _takes(folder: FolderTable, base: Path, place: Path) -> bool:
    """Whether a hot folder would accept a scan that lies in a place; what is hidden in it is not looked at."""
    path, place = placed(base, folder.path).resolve(), place.resolve()
    if path == place:
        return True
    if not folder.recursive or not place.is_relative_to(path):
        return False
    return not any(part.startswith(".") for part in place.relative_to(path).parts)


def _require_folder(who: str, path: Path, advice: str) -> None:
    """Refuse a file where a folder is to be, or above it.

    Raises:
        UsageError: there is one.
    """
    for place in (path, *path.parents):
        if place.exists() or place.is_symlink():
            if not place.is_dir():
                raise UsageError(
                    f"{who}: {place} is {'not a folder' if place.exists() else 'a link to nothing'}: {advice}"
                )
            return


def _check_secrets(file: LineFile, base: Path) -> None:
    Access.of(file.http, base)
    _require_certificate(file.http, base)
    for webhook in file.webhook:
        if webhook.token_file is not None:
            read_token(placed(base, webhook.token_file))
    for mqtt in file.mqtt:
        if mqtt.password_file is not None:
            read_secret(placed(base, mqtt.password_file))


def _require_certificate(table: HttpTable, base: Path) -> None:
    """Read certificate and key as the server will.

    Raises:
        UsageError: they cannot be read, or do not belong together.
    """
    if table.tls_cert is None or table.tls_key is None:
        return
    certificate, key = placed(base, table.tls_cert), placed(base, table.tls_key)
    try:
        # An empty password, or OpenSSL asks for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, lambda: b"")
    except OSError as cause:
        raise UsageError(
            f"[http] tls_cert {certificate} and tls_key {key} cannot be used: {cause.strerror or cause}: give a PEM "
            "certificate and its key, without a password"
        ) from cause
