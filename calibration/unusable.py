"""All normal scans that cannot be used, if a calibration stopped at one of them: so they can be mended in one go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from ..runtime.bundle.manifest import Manifest
from ..runtime.bundle.parameters import PartRange
from ..runtime.errors import CmdiadError, ScanError, all_of, naming_scan
from ..runtime.patches.routes import modalities
from ..runtime.preparation.settling import settle_scans
from ..runtime.progress import Progress
from ..runtime.sensor.in_memory import PartSource, read_source
from .calibrate import read_parts_of


@contextmanager
def naming_all_unusable(
    manifest: Manifest, scans: Sequence[PartSource], progress: Progress, expected: PartRange | None = None
) -> Iterator[None]:
    """If the block stops at one scan, look for all that cannot be used; takes what `all_unusable` takes.

    Raises:
        ScanError: names them.
    """
    try:
        yield
    except ScanError as first:
        raise all_unusable(first, manifest, scans, progress, expected) from first


def all_unusable(
    first: ScanError,
    manifest: Manifest,
    scans: Sequence[PartSource],
    progress: Progress,
    expected: PartRange | None = None,
) -> ScanError:
    """The error for all scans that cannot be read or prepared.

    Args:
        first: what the calibration stopped at.
        manifest: with the preprocessing that was asked for, settled or not.
        scans: all normal scans.
        progress: called with (stage, done, all, remark).
        expected: the range of parts, where one is known.
    """
    errors: dict[int, ScanError] = {}

    def attempt(stage: str, work: Callable[[PartSource], object]) -> None:
        left = [number for number in range(len(scans)) if number not in errors]
        for done, number in enumerate(left, 1):
            try:
                with naming_scan(scans[number]):
                    work(scans[number])
            except ScanError as error:
                errors[number] = error
            progress(stage, done, len(left), "")

    attempt("looking for more such scans", lambda scan: read_source(scan, modalities(manifest), manifest.preprocessing))
    settled = _settled(manifest, [scan for number, scan in enumerate(scans) if number not in errors])
    if settled is not None:
        attempt("looking for more such parts", lambda scan: read_parts_of(scan, settled, expected))
    return all_of([errors[number] for number in sorted(errors)], len(scans)) if len(errors) > 1 else first


def _settled(manifest: Manifest, scans: Sequence[PartSource]) -> Manifest | None:
    """With raw or preprocessed decided from the scans that can be read; None where they do not tell."""
    preprocessing = manifest.preprocessing
    if preprocessing.window == "part" and preprocessing.window_pixels is None:
        preprocessing = msgspec.structs.replace(preprocessing, window="scan")
    if scans and preprocessing.is_undecided and "pc" in modalities(manifest):
        try:
            preprocessing = settle_scans(preprocessing, scans).preprocessing
        except CmdiadError:
            return None
    return msgspec.structs.replace(manifest, preprocessing=preprocessing)
