"""Whether a line would start with its file: everything that is opened then is opened, and nothing is left behind."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from ...errors import MachineError, OutputError
from ..journal import LOCK as JOURNAL_LOCK
from ..journal import NAME, require_version
from ..journal_lock import holder_of, require_free
from ..line_file import LineFile, placed
from ..line_places import require_sound_places
from ..listening import require_ports
from ..production_line import ProductionLine
from ..sources.folder_hold import LOCK, WHY_ALONE
from .http_server import HttpRequests


@dataclass(frozen=True)
class CheckedLine:
    """What a line would be.

    Attributes:
        products, sinks: their names.
        address: where it would be reached.
        out: where results would go.
        doubts: what may be a mistake, in words.
    """

    products: tuple[str, ...]
    sinks: tuple[str, ...]
    address: str
    out: Path
    doubts: tuple[str, ...]


def check_line(file: LineFile, base: Path) -> CheckedLine:
    """Open everything that a line file names, and let go of it again; no file or folder is made where it says.

    Args:
        file: see `read_line_file`.
        base: the folder that its paths are relative to.

    Raises:
        CmdiadError: the line would not start, or a server of it would not.
    """
    require_sound_places(file, base)
    out, folders = placed(base, file.line.out), [placed(base, folder.path) for folder in file.folder]
    running = holder_of(out / JOURNAL_LOCK)
    _require_writable(out, "results")
    if running is None:
        _require_journal(out)
    if file.log.file is not None:
        _require_writable(placed(base, file.log.file).parent, "the log")
    for folder in folders:
        if running is None or holder_of(folder / LOCK) != running:
            require_free(folder / LOCK, WHY_ALONE)
    held = _held_ports(file, running)
    with _temporary_folder() as elsewhere:
        trial = msgspec.structs.replace(file, line=msgspec.structs.replace(file.line, out=elsewhere))
        line = ProductionLine(trial, base)
        try:
            address = HttpRequests(line).address
        finally:
            line.close()
    missing = (
        f"folder {table.name!r}: {path} does not exist and will be created: correct its path if scans arrive elsewhere"
        for table, path in zip(file.folder, folders, strict=True)
        if not path.exists()
    )
    doubts = (*_of_running(running, out), *held, *missing, *line.doubts)
    return CheckedLine(tuple(line.products.names()), tuple(sink.name for sink in line.sinks), address, out, doubts)


def _of_running(running: str | None, out: Path) -> list[str]:
    """What is to be done before a changed file of a line is served that runs as it was before."""
    if running is None:
        return []
    return [f"process {running} works in {out} already: if that is this line, stop it before this file is served"]


def _held_ports(file: LineFile, running: str | None) -> list[str]:
    """Doubts about ports that are in use while a process works in the line's folder: they may be that one's.

    Raises:
        MachineError: a port cannot be listened on, and no such process may be the reason.
    """
    ports = [
        ("[http]", file.http.host, file.http.port),
        *((f"[[opcua]] {table.name!r}", table.host, table.port) for table in file.opcua),
    ]
    if running is None:
        require_ports(ports)
        return []
    doubts, free = [], []
    for port in ports:
        try:
            require_ports([port])
            free.append(port)
        except MachineError as error:
            if not (isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE):
                raise
            doubts.append(f"{error}; if it is process {running}, nothing is to be done")
    require_ports(free)  # two tables may still share one
    return doubts


def _temporary_folder() -> TemporaryDirectory[str]:
    try:
        # Hidden, so that no hot folder above it looks into it.
        return TemporaryDirectory(prefix=".cmdiad-check-")
    except OSError as cause:
        raise MachineError(f"there is no folder for temporary files ({cause.strerror or cause}): set TMPDIR") from cause


def _require_journal(out: Path) -> None:
    """Refuse a folder of results whose journal is damaged.

    Raises:
        CmdiadError: it is.
    """
    path = out / NAME
    if not path.is_file():
        return
    try:
        # As it lies there: any other way of reading leaves files beside it.
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?immutable=1", uri=True)) as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as cause:
        raise OutputError(
            f"{path}: cannot be read ({cause}): check the disk, or move a damaged journal away"
        ) from cause
    require_version(path, version)


def _require_writable(folder: Path, what: str) -> None:
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(f"{folder}: {what} cannot be written here: give this user the right, or give another folder")
