"""What is inspected while measuring: real scans, the user's or the bundle's own golden ones; never an empty tensor."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...acceptance.golden import encode_points
from ...bundle.reading import Bundle
from ...bundle.scan_geometry import AS_STORED
from ...errors import UsageError
from ...patches.routes import modalities
from ...sensor.part import find_inputs
from ...sensor.readers import decode_scan

GOLDEN_SCAN, GOLDEN_IMAGE = "_scan.tiff", "_image.png"


def bench_scans(given: list[str], bundle: Bundle, scratch: Path) -> list[Path]:
    """The files to inspect: those given, else copies of the bundle's golden scans in `scratch`.

    Raises:
        ScanError: what was given stands for nothing that this bundle inspects.
        UsageError: nothing was given and the bundle has no golden scans.
    """
    if given:
        return find_inputs(given, modalities(bundle.manifest)).require()
    scans = copy_golden_scans(bundle, scratch)
    if not scans:
        raise UsageError(
            f"{bundle.path}: has no golden scans to measure with: give --scans, or run `cmdiad calibrate SCANS` again"
        )
    return scans


def copy_golden_scans(bundle: Bundle, folder: Path) -> list[Path]:
    """Write the golden scans as files, NAME.tiff with the registered NAME.png beside it; [] if there are none.

    A bundle keeps them as golden/NAME_scan.tiff, in meters, and golden/NAME_image.png.
    """
    main_suffix = ".png" if modalities(bundle.manifest) == {"rgb"} else ".tiff"
    written = []
    for file in sorted(bundle.manifest.files):
        for ending, suffix in ((GOLDEN_SCAN, ".tiff"), (GOLDEN_IMAGE, ".png")):
            if file.startswith("golden/") and file.endswith(ending):
                path = folder / (Path(file).name.removesuffix(ending) + suffix)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(in_sensor_units(bundle, file) if ending == GOLDEN_SCAN else bundle.read(file))
                written.append(path)
    return [path for path in written if path.suffix == main_suffix]


def in_sensor_units(bundle: Bundle, file: str) -> bytes:
    """A golden scan, recorded in meters, as a TIFF that the sensor would have written: in its unit and axes."""
    unit, geometry = bundle.manifest.preprocessing.metres_per_unit or 1.0, bundle.manifest.geometry
    content = bundle.read(file)
    if unit == 1 and geometry.axis_order() == AS_STORED.axis_order():
        return content
    points = decode_scan(content).numbers
    order, signs = geometry.axis_order()
    turned = np.empty_like(points)
    turned[..., list(order)] = points / unit * signs
    return encode_points(turned)
