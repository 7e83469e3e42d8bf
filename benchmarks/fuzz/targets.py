"""What is fed: each target takes bytes, and may end in nothing but a value or one of our own errors."""

from __future__ import annotations

import random
import tempfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cmdiad.benchmarks.fuzz.file_damage import damage_scan
from cmdiad.benchmarks.fuzz.mutation import Mutator, damage_bytes, damage_json, damage_text

MOST_PREPARED_POINTS = 50_000
"""Larger scans are read only: preparing them is bounded by their size, and tests time a million points."""


class Target(Protocol):
    """One reader of something from outside."""

    def mutator(self, chance: random.Random, data: bytes, others: Sequence[bytes], /) -> bytes:
        """Damage an input, with pieces of others."""
        ...

    def feed(self, data: bytes) -> None:
        """Read it; a `CmdiadError` is an answer, anything else raised is a fault."""
        ...

    def close(self) -> None:
        """End what was begun."""
        ...


@dataclass(frozen=True)
class PlainTarget:
    """A target that is one function."""

    damage: Mutator
    read: Callable[[bytes], object]

    def mutator(self, chance: random.Random, data: bytes, others: Sequence[bytes], /) -> bytes:
        """See `Target`."""
        return self.damage(chance, data, others)

    def feed(self, data: bytes) -> None:
        """See `Target`."""
        self.read(data)

    def close(self) -> None:
        """Nothing was begun."""


def _read_scan(data: bytes) -> None:
    from cmdiad.runtime.errors import ScanError
    from cmdiad.runtime.preparation.prepare import STRUCTURED_LIGHT, prepare
    from cmdiad.runtime.sensor.scan import scan_from_bytes

    try:
        scan = scan_from_bytes(data)
    except ScanError:  # also what has no unit, or looks like another
        scan = scan_from_bytes(data, 0.001)
    if scan.points.size <= 3 * MOST_PREPARED_POINTS:
        x, y, z = scan.origin.tolist()
        prepare(scan.points, STRUCTURED_LIGHT, origin=(x, y, z))


def _read_image(path: Path) -> None:
    from cmdiad.runtime.sensor.image import network_image, read_mask, read_rgb

    if path.stat().st_size % 2:
        read_mask(path)
        return
    pixels = read_rgb(path)
    if pixels.size < 1_000_000:
        network_image(pixels)


def _read_manifest(data: bytes) -> None:
    from cmdiad.benchmarks.fuzz.bundle_target import with_own_digest
    from cmdiad.runtime.bundle.manifest import decode

    decode(data if zlib.crc32(data) % 8 == 0 else with_own_digest(data), "bundle")


def _read_signatures(data: bytes) -> None:
    from cmdiad.runtime.bundle.key_files import PublicKey
    from cmdiad.runtime.bundle.signature import TrustedKeys, decode_signatures, require_signature

    signatures = decode_signatures(data, "bundle")
    for entry in signatures:
        entry.in_words()
    require_signature(signatures, b"{}", TrustedKeys((PublicKey(bytes(32)),)), "bundle")


class FileTarget:
    """A target that reads a file of one name, in a folder of its own."""

    def __init__(self, damage: Mutator, name: str, read: Callable[[Path], object]) -> None:
        """The folder is removed by `close`."""
        self._damage, self._read = damage, read
        self._folder = tempfile.TemporaryDirectory(prefix="cmdiad-fuzz-")
        self._path = Path(self._folder.name) / name

    def mutator(self, chance: random.Random, data: bytes, others: Sequence[bytes], /) -> bytes:
        """See `Target`."""
        return self._damage(chance, data, others)

    def feed(self, data: bytes) -> None:
        """See `Target`."""
        self._path.write_bytes(data)
        self._read(self._path)

    def close(self) -> None:
        """See `Target`."""
        self._folder.cleanup()


def _read_line_file(path: Path) -> None:
    from cmdiad.runtime.service.line_file import placed, read_line_file

    file = read_line_file(path)
    for table in file.product:
        placed(path.parent, table.bundle)
    for folder in file.folder:
        placed(path.parent, folder.path).exists()
    placed(path.parent, file.line.out).exists()


def _read_settings(path: Path) -> None:
    from cmdiad.calibration.calibration_settings import CalibrationSettings
    from cmdiad.calibration.settings_file import apply_settings_file

    apply_settings_file(CalibrationSettings(), path)


def _read_key(path: Path) -> None:
    from cmdiad.runtime.bundle.key_files import read_public_key

    read_public_key(path)


def _read_audit(path: Path) -> None:
    from cmdiad.runtime.errors import BundleError
    from cmdiad.runtime.files.audit import AuditEntry, append_audit, verify_audit

    try:
        verify_audit(path)
    except BundleError:
        append_audit(path, AuditEntry.now("update"))
        raise


def _restore_drift(data: bytes) -> None:
    from cmdiad.runtime.health.drift_monitor import DriftMonitor
    from cmdiad.runtime.health.measures import SENSOR_MEASURES

    monitor = DriftMonitor.restored(data, "0" * 64, None)
    monitor.lamps()
    for score in (0.5, 1e300, -1e300, 0.0):
        for alarm in monitor.update(dict.fromkeys(SENSOR_MEASURES, score), score, score > 1):
            alarm.message  # noqa: B018
    monitor.lamps()
    for lamp in monitor.lamps():
        monitor.acknowledge(lamp.measure, lamp.value is None)
    DriftMonitor.restored(monitor.state(), "0" * 64, None)


def _bundles() -> Target:
    from cmdiad.benchmarks.fuzz.bundle_target import BundleTarget

    return BundleTarget()


def _journals() -> Target:
    from cmdiad.benchmarks.fuzz.journal_target import JournalTarget

    return JournalTarget()


def _requests() -> Target:
    from cmdiad.benchmarks.fuzz.request_target import RequestTarget

    return RequestTarget()


TARGETS: dict[str, Callable[[], Target]] = {
    "scans": lambda: PlainTarget(damage_scan, _read_scan),
    "images": lambda: FileTarget(damage_scan, "image.png", _read_image),
    "manifests": lambda: PlainTarget(damage_json, _read_manifest),
    "signatures": lambda: PlainTarget(damage_json, _read_signatures),
    "bundles": _bundles,
    "requests": _requests,
    "line_files": lambda: FileTarget(damage_text, "line.toml", _read_line_file),
    "settings": lambda: FileTarget(damage_text, "settings.toml", _read_settings),
    "keys": lambda: FileTarget(damage_bytes, "key.pub", _read_key),
    "journals": _journals,
    "audit": lambda: FileTarget(damage_text, "audit.jsonl", _read_audit),
    "drift_states": lambda: PlainTarget(damage_json, _restore_drift),
}
"""By name: what makes a target."""
