"""A scan as every comparison of the gate takes it: prepared, and grouped once for all networks that are compared."""

from __future__ import annotations

from pathlib import Path

from ...runtime.bundle.manifest import Manifest
from ...runtime.patches.grouped import GroupedPart, group_part
from ...runtime.patches.routes import modalities
from ...runtime.preparation.prepared_part import PreparedPart, prepare_file


def grouped_scan(scan: Path, manifest: Manifest) -> PreparedPart:
    """Prepare a scan as the line does, and group its points where the route measures points.

    Raises:
        ScanError: the scan cannot be read or used.
    """
    measured = modalities(manifest)
    prepared = prepare_file(scan, measured, manifest.preprocessing, manifest.part_range)
    if "pc" not in measured or prepared.scan is None:
        return prepared
    return GroupedPart.of(prepared, group_part(prepared.scan, manifest.grouping))
