"""Whether a line would start with its file: everything that is opened then is opened, and nothing is left behind."""

from __future__ import annotations

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
from ..journal_lock import require_free
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
    _require_journal(out)
    if file.log.file is not None:
        _require_writable(placed(base, file.log.file).parent, "the log")
    for folder in folders:
        require_free(folder / LOCK, WHY_ALONE)
    require_ports(
        [
            ("[http]", file.http.host, file.http.port),
            *((f"[[opcua]] {table.name!r}", table.host, table.port) for table in file.opcua),
        ]
    )
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
    doubts = (*missing, *line.doubts)
    return CheckedLine(tuple(line.products.names()), tuple(sink.name for sink in line.sinks), address, out, doubts)


def _temporary_folder() -> TemporaryDirectory[str]:
    try:
        # Hidden, so that no hot folder above it looks into it.
        return TemporaryDirectory(prefix=".cmdiad-check-")
    except OSError as cause:
        raise MachineError(f"there is no folder for temporary files ({cause.strerror or cause}): set TMPDIR") from cause


def _require_journal(out: Path) -> None:
    """Refuse a folder of results that another process works in, that cannot be written, or whose journal is damaged.

    Raises:
        CmdiadError: it is.
    """
    _require_writable(out, "results")
    require_free(out / JOURNAL_LOCK)
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
