"""This user's cache: what takes long to make and can be made again at any time."""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import suppress
from pathlib import Path

from ..errors import OutputError
from .atomic import atomic_write_bytes

_DIGEST_BYTES = hashlib.sha256().digest_size


def user_cache(kind: str) -> Path:
    """The folder for one kind of file, below the place that the system has for caches; it need not exist.

    Example:
        >>> user_cache("kernels").parts[-2:]
        ('cmdiad', 'kernels')
    """
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "cmdiad" / kind


def read_kept(path: Path) -> bytes | None:
    """What `keep` wrote; None where there is nothing that can be read and is as it was written."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, kept = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    return kept if kept and hashlib.sha256(kept).digest() == digest else None


def keep(path: Path, content: bytes) -> None:
    """Write it for `read_kept`. A cache that cannot be written costs time at the next start, and nothing else."""
    with suppress(OutputError):
        atomic_write_bytes(path, hashlib.sha256(content).digest() + content)
