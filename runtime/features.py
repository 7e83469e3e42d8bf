"""The one feature path: what a sensor saw becomes patch features, by the bundle's own networks.

Calibration, evaluation and inspection all come through here, so a bank is compared with features that were
made exactly as its own were.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .bundle import Bundle
from .engine import Engine, OnnxEngine
from .errors import ScanError
from .grouping import Grouping, group_points
from .image import network_image
from .manifest import Manifest, Modality
from .pooling import PATCH_GRID, foreground_patches, pooling_matrix
from .preprocessing import Frame, PreparedScan, prepare, prepare_image, prepare_rgb
from .timing import StageTimes

EXTRACTOR = "extractor"
SECOND_EXTRACTOR = "second_extractor"
HALLUCINATOR = "hallucinator"


@dataclass(frozen=True)
class Part:
    """What the sensors saw of one part; a route needs one of them or both.

    Attributes:
        points: (H, W, 3) float32, metres, missing points zero; None without a 3D sensor.
        rgb: (H, W, 3) uint8, registered with the points; None without a camera.
    """

    points: npt.NDArray[np.float32] | None
    rgb: npt.NDArray[np.uint8] | None


@dataclass(frozen=True)
class PreparedPart:
    """A part brought to the networks' resolution.

    Attributes:
        scan: the prepared points; None for an image alone.
        image: (side, side, 3) uint8, background zeroed; None without a camera.
        valid: (224, 224) bool, pixels that belong to the part.
        kept: (H, W) bool, the same in the input's own pixels.
        frame: how the two are related.
    """

    scan: PreparedScan | None
    image: npt.NDArray[np.uint8] | None
    valid: npt.NDArray[np.bool_]
    kept: npt.NDArray[np.bool_]
    frame: Frame


@dataclass(frozen=True)
class PartFeatures:
    """Features of the n patches that carry part of the object; the others have none and are never anomalous.

    Attributes:
        foreground: (3136,) bool, which patches the rows belong to, in order.
        main: (n, D) float32, the main modality's.
        second: (n, E) float32, hallucinated or measured; None for a single bank.
    """

    foreground: npt.NDArray[np.bool_]
    main: npt.NDArray[np.float32]
    second: npt.NDArray[np.float32] | None


def prepare_part(part: Part, manifest: Manifest) -> PreparedPart:
    """Preprocess whatever the route uses of a part.

    Raises:
        ScanError: the sensor's data that the route needs is not there, or nothing of the part is left.
    """
    needed = modalities(manifest)
    if "pc" in needed and part.points is None:
        raise ScanError("this bundle inspects 3D scans: give a scan, not an image")
    if "rgb" in needed and part.rgb is None:
        raise ScanError("this bundle inspects images: give the registered RGB image too")
    if part.points is None:
        assert part.rgb is not None
        image, valid, kept, frame = prepare_image(part.rgb, manifest.preprocessing)
        return PreparedPart(None, image, valid, kept, frame)
    if part.rgb is not None and part.rgb.shape != part.points.shape:
        raise ScanError(
            f"the image has {part.rgb.shape[:2]} pixels, the scan {part.points.shape[:2]}: they must be registered"
        )
    scan = prepare(part.points, manifest.preprocessing)
    rgb = prepare_rgb(part.rgb, scan.kept, scan.frame) if part.rgb is not None and "rgb" in needed else None
    return PreparedPart(scan, rgb, scan.valid, scan.kept, scan.frame)


def modalities(manifest: Manifest) -> set[Modality]:
    """What the route measures at inspection."""
    return {"pc", "rgb"} if manifest.route == "dual" else {manifest.main}


class FeatureExtractor:
    """A bundle's networks, opened once and run for every part."""

    def __init__(self, bundle: Bundle, provider: str = "cpu", threads: int | None = None) -> None:
        """Open the engines.

        Raises:
            EngineError: the provider is not available.
            BundleError: a network is missing or not valid.
        """
        self._manifest = bundle.manifest
        self._engines: dict[str, Engine] = {
            role: OnnxEngine(bundle.read(network.file), provider, threads)
            for role, network in bundle.manifest.networks.items()
        }

    def extract(self, prepared: PreparedPart, times: StageTimes) -> PartFeatures:
        """Features of one prepared part.

        Raises:
            ScanError: too few points are left for a group.
        """
        return self.complete(self.measure(prepared, times), prepared, times)

    def measure(self, prepared: PreparedPart, times: StageTimes) -> PartFeatures:
        """The main modality's features alone; routes with the same extractor share them.

        Raises:
            ScanError: too few points are left for a group.
        """
        foreground = foreground_patches(prepared.valid)
        main = self._measured(self._manifest.main, EXTRACTOR, prepared, foreground, times)
        return PartFeatures(foreground, main, None)

    def complete(self, features: PartFeatures, prepared: PreparedPart, times: StageTimes) -> PartFeatures:
        """Add what the route compares with its second bank, if it has one."""
        second = None
        if self._manifest.route == "dual":
            other: Modality = "rgb" if self._manifest.main == "pc" else "pc"
            second = self._measured(other, SECOND_EXTRACTOR, prepared, features.foreground, times)
        elif HALLUCINATOR in self._engines:
            with times.stage("hallucinate"):
                second = self.hallucinate(features.main)
        return PartFeatures(features.foreground, features.main, second)

    def hallucinate(self, main: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The missing modality's features from the main one's: (n, D) -> (n, E) float32 (paper, F2F)."""
        output = self._engines[HALLUCINATOR].run({"features": main[None]})
        hallucination: npt.NDArray[np.float32] = output["hallucination"][0]
        return hallucination

    def _measured(
        self,
        modality: Modality,
        role: str,
        prepared: PreparedPart,
        foreground: npt.NDArray[np.bool_],
        times: StageTimes,
    ) -> npt.NDArray[np.float32]:
        engine = self._engines[role]

        def run(inputs: dict[str, npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
            with times.stage("extract"):
                tokens: npt.NDArray[np.float32] = engine.run(inputs)["tokens"]
            return tokens

        if modality == "rgb":
            assert prepared.image is not None
            return image_features(prepared.image, foreground, run, times)
        assert prepared.scan is not None
        return point_features(prepared.scan, foreground, self._manifest.grouping, run, times)


RunNetwork = Callable[[dict[str, npt.NDArray[np.float32]]], npt.NDArray[np.float32]]


def point_features(
    scan: PreparedScan,
    foreground: npt.NDArray[np.bool_],
    grouping: Grouping,
    run: RunNetwork,
    times: StageTimes,
) -> npt.NDArray[np.float32]:
    """R_PC = A T on the foreground patches: (n, D) float32.

    Args:
        scan: the prepared points.
        foreground: (3136,) bool.
        grouping: the extractor's G and M.
        run: the network: groups (1, G, M, 3) and centers (1, G, 3) to tokens (1, G, D).
        times: where the time is booked.
    """
    with times.stage("group"):
        pixels = np.flatnonzero(scan.valid)
        points = scan.points.reshape(-1, 3)[pixels]
        groups = group_points(points, grouping)
        pooling = pooling_matrix(points, pixels, groups.centers)[np.flatnonzero(foreground)]
    tokens = run({"groups": groups.groups[None], "centers": groups.centers[None]})
    with times.stage("pool"):
        features: npt.NDArray[np.float32] = pooling @ tokens[0]
    return features


def image_features(
    image: npt.NDArray[np.uint8], foreground: npt.NDArray[np.bool_], run: RunNetwork, times: StageTimes
) -> npt.NDArray[np.float32]:
    """Patch tokens of an image, each value repeated 2x2, on the foreground patches: (n, D) float32.

    Args:
        image: (side, side, 3) uint8, background zeroed.
        foreground: (3136,) bool.
        run: the network: image (1, 3, 224, 224) to tokens (1, 784, D).
        times: where the time is booked.
    """
    with times.stage("group"):
        network_input = network_image(image)[None]
    tokens = run({"image": network_input})[0]
    return tokens[token_of_patch(len(tokens))[foreground]]


def token_of_patch(n_tokens: int) -> npt.NDArray[np.int64]:
    """Which token of a square token grid each patch of the 56x56 grid lies in: (3136,) int64."""
    side = int(n_tokens**0.5)
    along = np.arange(PATCH_GRID) * side // PATCH_GRID
    tokens: npt.NDArray[np.int64] = (along[:, None] * side + along[None, :]).ravel()
    return tokens
