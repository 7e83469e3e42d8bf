"""Calibrate a product as `cmdiad calibrate` does, with the settings in its table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ..calibration.calibrated_bundle import calibrate_bundle
from ..calibration.calibration_settings import CalibrationSettings
from ..calibration.settings_file import apply_settings_file
from ..runtime.bundle.parameters import Preprocessing
from ..runtime.bundle.reading import Bundle, open_bundle
from ..runtime.extras import CALIBRATE, require_extras
from ..runtime.patches.routes import modalities
from ..runtime.sensor.part import find_normal_parts
from ..runtime.sensor.sensor_file import adapted
from .bundle_drift import drift_since
from .input_digests import part_digests
from .product_task import CalibratedProduct
from .products_file import FleetProduct
from .step_folder import step_key


@dataclass(frozen=True)
class CalibrationInputs:
    """All that a product's calibration depends on.

    Attributes:
        product: its table.
        source: the exported bundle, as the sensor that the table names.
        parts: files of the normal parts.
        settings: of table and settings file.
        preprocessing: of another sensor than the bundle's; None: the bundle's, raw or preprocessed decided anew.
    """

    product: FleetProduct
    source: Bundle
    parts: list[Path]
    settings: CalibrationSettings
    preprocessing: Preprocessing | None

    @cached_property
    def key(self) -> str:
        """Of the step; changes with any scan, setting or network.

        Raises:
            ScanError: a scan cannot be read.
        """
        manifest, product = self.source.manifest, self.product
        measured = modalities(manifest)
        shown = [] if product.defective is None else [Path(product.defective)]
        return step_key(
            "calibrate",
            product=product.name,
            networks=manifest.digest,
            sensor=manifest.sensor,
            preprocessing=self.preprocessing,
            parts=part_digests(self.parts, measured),
            defective=part_digests(shown, measured),
            settings=self.settings,
            line_graph=product.line_graph,
            provider=product.provider,
        )

    def calibrate(self, out: Path, last: Path) -> CalibratedProduct:
        """Calibrate, and compare with the product's last bundle, where there is one.

        Raises:
            CmdiadError: see `calibrate_bundle`.
        """
        require_extras("fleet --calibrate", CALIBRATE)
        product = self.product
        completed = calibrate_bundle(
            self.source,
            self.parts,
            self.settings,
            out,
            product.provider,
            product.name,
            self.preprocessing,
            defective=[] if product.defective is None else [Path(product.defective)],
            with_line_graph=product.line_graph,
        )
        completed.write_sheet(out)
        calibration = completed.manifest.calibration
        assert calibration is not None
        return CalibratedProduct(
            digest=completed.manifest.digest,
            n_scans=len(completed.scans),
            n_parts=len(completed.parts),
            threshold=calibration.threshold,
            pixel_threshold=calibration.pixel_threshold,
            decision=completed.decision,
            warnings=list(completed.warnings),
            drift=drift_since(last, out),
        )


def calibration_inputs(product: FleetProduct, bundle: Path) -> CalibrationInputs:
    """What a product is calibrated from.

    Args:
        product: its table, with absolute paths.
        bundle: the exported one.

    Raises:
        UsageError: a setting makes no sense, or the scans are of several classes.
        BundleError: the bundle cannot be used.
        ScanError: there are no scans.
    """
    source = open_bundle(bundle)
    given = list(product.scans) or [product.data or ""]
    parts = find_normal_parts(given, modalities(source.manifest))
    settings = CalibrationSettings(
        false_reject_rate=product.false_reject_rate,
        coreset_ratio=product.coreset_ratio,
        metric=product.metric,
        bank_precision=product.bank_precision,
        n_neighbors=product.n_neighbors,
        neighborhood=product.neighborhood,
        score=product.score,
        seed=product.seed,
    )
    settings = apply_settings_file(settings, None if product.settings is None else Path(product.settings))
    known = source.manifest.description
    # What the networks were trained to see is not the sensor's to say.
    window = [] if product.sensor is None else [f"preprocessing.window={known.preprocessing.window}"]
    described = adapted(known, product.sensor, [*window, *product.set])
    inputs = CalibrationInputs(product, source, parts, settings, None)
    if described is None:
        return inputs
    return replace(inputs, source=source.of_sensor(described.identity), preprocessing=described.preprocessing)
