"""A fleet of small products, real ones and ones whose calibration is a copy of a bundle that is there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cmdiad.fleet.product_calibration import CalibrationInputs
from cmdiad.fleet.product_task import CalibratedProduct
from cmdiad.runtime.bundle.reading import open_bundle, require_calibration
from cmdiad.runtime.bundle.writing import write_bundle

SCANS = Path("gland") / "train" / "good" / "xyz"
WriteFile = Callable[..., Path]


@pytest.fixture
def write_products(tmp_path: Path, exported_bundle: Path, synth_data: Path) -> WriteFile:
    """Writes a products file, with three scans of its own for every name."""

    def write(*names: str, defaults: str = "", extra: str = "") -> Path:
        for name in names:
            folder = tmp_path / "scans" / name
            if not folder.exists():
                folder.mkdir(parents=True)
                for scan in sorted((synth_data / SCANS).iterdir())[:3]:
                    shutil.copy(scan, folder)
        tables = "".join(f'[[product]]\nname = "{name}"\n' for name in names)
        file = tmp_path / "products.toml"
        head = f'[defaults]\nbundle = "{exported_bundle}"\nscans = "scans/{{name}}"\n{defaults}\n'
        file.write_text(head + tables + extra)
        return file

    return write


@pytest.fixture
def calibrated_names(monkeypatch: pytest.MonkeyPatch, calibrated_bundle: Path) -> list[str]:
    """The products that were calibrated, in order; all they get is a copy of one bundle."""
    names: list[str] = []
    bundle = open_bundle(calibrated_bundle)
    calibration = require_calibration(bundle)

    def copied(self: CalibrationInputs, out: Path, last: Path) -> CalibratedProduct:
        names.append(self.product.name)
        manifest = write_bundle(out, bundle.manifest, {name: bundle.read(name) for name in bundle.manifest.files})
        return CalibratedProduct(
            digest=manifest.digest,
            n_scans=len(self.parts),
            n_parts=len(self.parts),
            threshold=calibration.threshold,
            pixel_threshold=calibration.pixel_threshold,
            decision="",
            warnings=[],
            drift=None,
        )

    monkeypatch.setattr(CalibrationInputs, "calibrate", copied)
    return names
