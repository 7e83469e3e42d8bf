"""The one feature path: what a sensor saw becomes patch features, by the bundle's own networks.

Calibration, evaluation and inspection all come through here, so a bank is compared with features that were
made exactly as its own were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from .bundle import Bundle
from .engine import Engine
from .engine_opening import ObservedEngine, Observer, open_engine
from .grouping import Grouping, group_points
from .image import network_image
from .manifest import Modality, Route
from .pooling import N_PATCHES, PATCH_GRID, foreground_patches, pooling_matrix
from .preparation.part import PreparedPart
from .preprocessing import PreparedScan
from .timing import StageTimes

EXTRACTOR = "extractor"
SECOND_EXTRACTOR = "second_extractor"
HALLUCINATOR = "hallucinator"


@dataclass(frozen=True)
class GroupedPoints:
    """What the point extractor takes of one scan, and the matrix that turns its tokens into features.

    Attributes:
        groups: (G, M, 3) float32, metres, relative to their center.
        centers: (G, 3) float32, metres.
        pooling: (n, G) float32, the rows of A of the foreground patches.
    """

    groups: npt.NDArray[np.float32]
    centers: npt.NDArray[np.float32]
    pooling: sparse.csr_array


@dataclass(frozen=True)
class PartFeatures:
    """Features of the n patches that carry part of the object; the others have none and are never anomalous.

    Attributes:
        foreground: (3136,) bool, which patches the rows belong to, in order.
        main: (n, D) float32, the main modality's.
        second: (n, E) float32, hallucinated or measured; None for a single bank.
        image_tokens: (T, D) float32, all of the image's where the main modality is RGB; None for points.
        hallucinated_input: (3, 224, 224) float32, what F2I gives the missing modality's extractor to see.
    """

    foreground: npt.NDArray[np.bool_]
    main: npt.NDArray[np.float32]
    second: npt.NDArray[np.float32] | None
    image_tokens: npt.NDArray[np.float32] | None = None
    hallucinated_input: npt.NDArray[np.float32] | None = None

    def grid(self) -> npt.NDArray[np.float32]:
        """The main modality's features of all patches, (3136, D) float32; zero where there are no points."""
        if self.image_tokens is not None:
            return self.image_tokens[token_of_patch(len(self.image_tokens))]
        features = np.zeros((N_PATCHES, self.main.shape[1]), np.float32)
        features[self.foreground] = self.main
        return features


class FeaturePath:
    """A route's networks, run for every part, whatever they run on."""

    def __init__(self, route: Route, main: Modality, grouping: Grouping, engines: Mapping[str, Engine]) -> None:
        """Args: the route, its main modality, the point extractor's G and M, and the networks by role."""
        self._route, self._main, self._grouping, self._engines = route, main, grouping, engines

    @contextmanager
    def observed(self, observer: Observer) -> Iterator[None]:
        """Show an observer what goes into and comes out of every network while the block runs."""
        engines = self._engines
        self._engines = {role: ObservedEngine(role, engine, observer) for role, engine in engines.items()}
        try:
            yield
        finally:
            self._engines = engines

    def group(self, prepared: PreparedPart, times: StageTimes) -> PreparedPart:
        """Group the measured points ahead of the networks, where the main modality is points.

        Raises:
            ScanError: too few points are left for a group.
        """
        if self._main != "pc":
            return prepared
        assert prepared.scan is not None
        foreground = foreground_patches(prepared.valid)
        return replace(prepared, grouped=grouped_points(prepared.scan, foreground, self._grouping, times))

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
        if prepared.grouped is not None:
            return PartFeatures(foreground, pooled_features(prepared.grouped, self._run(EXTRACTOR, times), times), None)
        if self._main == "pc":
            return PartFeatures(foreground, self._point_features(EXTRACTOR, prepared.scan, foreground, times), None)
        assert prepared.image is not None
        tokens = image_tokens(prepared.image, self._run(EXTRACTOR, times), times)
        return PartFeatures(foreground, tokens[token_of_patch(len(tokens))[foreground]], None, tokens)

    def complete(self, features: PartFeatures, prepared: PreparedPart, times: StageTimes) -> PartFeatures:
        """Add what the route compares with its second bank, if it has one."""
        if self._route == "dual":
            return replace(features, second=self._other_features(prepared, features.foreground, times))
        if self._route == "f2f":
            with times.stage("hallucinate"):
                return replace(features, second=self.hallucinate(features.main))
        if self._route == "i2f":
            main_input = network_input(prepared, self._main)
            with times.stage("hallucinate"):
                output = self._engines[HALLUCINATOR].run({"input": main_input[None]})["hallucination"][0]
            return replace(features, second=output[features.foreground])
        if self._route == "f2i":
            with times.stage("hallucinate"):
                answer = self._engines[HALLUCINATOR].run({"features": features.grid()[None]})
            seen = answer["hallucinated_input"][0]
            second = self._features_of_hallucination(seen, prepared, features.foreground, times)
            return replace(features, second=second, hallucinated_input=seen)
        return features

    def hallucinate(self, main: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The missing modality's features from the main one's: (n, D) -> (n, E) float32 (paper, F2F)."""
        output = self._engines[HALLUCINATOR].run({"features": main[None]})
        hallucination: npt.NDArray[np.float32] = output["hallucination"][0]
        return hallucination

    def _other_features(
        self, prepared: PreparedPart, foreground: npt.NDArray[np.bool_], times: StageTimes
    ) -> npt.NDArray[np.float32]:
        if self._main == "rgb":
            return self._point_features(SECOND_EXTRACTOR, prepared.scan, foreground, times)
        assert prepared.image is not None
        return image_features(prepared.image, foreground, self._run(SECOND_EXTRACTOR, times), times)

    def _features_of_hallucination(
        self,
        hallucinated_input: npt.NDArray[np.float32],
        prepared: PreparedPart,
        foreground: npt.NDArray[np.bool_],
        times: StageTimes,
    ) -> npt.NDArray[np.float32]:
        """F2I's image as it is, or its map of points where the image shows part, through the other extractor."""
        if self._main == "rgb":
            scan = hallucinated_scan(hallucinated_input, prepared)
            return self._point_features(SECOND_EXTRACTOR, scan, foreground, times)
        tokens = self._run(SECOND_EXTRACTOR, times)({"image": hallucinated_input[None]})[0]
        return tokens[token_of_patch(len(tokens))[foreground]]

    def _point_features(
        self, role: str, scan: PreparedScan | None, foreground: npt.NDArray[np.bool_], times: StageTimes
    ) -> npt.NDArray[np.float32]:
        assert scan is not None
        return point_features(scan, foreground, self._grouping, self._run(role, times), times)

    def _run(self, role: str, times: StageTimes) -> RunNetwork:
        engine = self._engines[role]

        def run(inputs: dict[str, npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
            with times.stage("extract"):
                tokens: npt.NDArray[np.float32] = engine.run(inputs)["tokens"]
            return tokens

        return run


class FeatureExtractor(FeaturePath):
    """A bundle's networks, opened once."""

    def __init__(
        self, bundle: Bundle, provider: str = "cpu", threads: int | None = None, cuda_graph: bool = False
    ) -> None:
        """Open the engines; the arguments are those of `open_engine`.

        Raises:
            EngineError: the provider is not available.
            BundleError: a network is missing or not valid.
        """
        manifest = bundle.manifest
        engines = {role: open_engine(bundle, role, provider, threads, cuda_graph) for role in manifest.networks}
        super().__init__(manifest.route, manifest.main, manifest.grouping, engines)


def network_input(prepared: PreparedPart, modality: Modality) -> npt.NDArray[np.float32]:
    """What one sensor saw, as I2F takes it: (3, 224, 224) float32, the background zeroed.

    Points are x, y and z in metres; an image is black in the background before it is normalized.
    """
    if modality == "rgb":
        assert prepared.image is not None
        return network_image(prepared.image)
    assert prepared.scan is not None
    return np.ascontiguousarray(prepared.scan.points.transpose(2, 0, 1))


def hallucinated_scan(points_3hw: npt.NDArray[np.float32], prepared: PreparedPart) -> PreparedScan:
    """F2I's map of points as a scan: measured wherever the image shows part, and nowhere else."""
    points = np.where(prepared.valid[..., None], points_3hw.transpose(1, 2, 0), np.float32(0))
    return PreparedScan(points, prepared.valid, prepared.kept, prepared.frame)


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
    return pooled_features(grouped_points(scan, foreground, grouping, times), run, times)


def grouped_points(
    scan: PreparedScan, foreground: npt.NDArray[np.bool_], grouping: Grouping, times: StageTimes
) -> GroupedPoints:
    """The groups and A of a scan; arguments as of `point_features`.

    Raises:
        ScanError: too few points are left for a group.
    """
    with times.stage("group"):
        pixels = np.flatnonzero(scan.valid)
        points = scan.points.reshape(-1, 3)[pixels]
        groups = group_points(points, grouping)
        pooling = pooling_matrix(points, pixels, groups.centers)[np.flatnonzero(foreground)]
    return GroupedPoints(groups.groups, groups.centers, pooling)


def pooled_features(grouped: GroupedPoints, run: RunNetwork, times: StageTimes) -> npt.NDArray[np.float32]:
    """A T of groups: (n, D) float32; arguments as of `point_features`."""
    tokens = run({"groups": grouped.groups[None], "centers": grouped.centers[None]})
    with times.stage("pool"):
        features: npt.NDArray[np.float32] = grouped.pooling @ tokens[0]
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
    tokens = image_tokens(image, run, times)
    return tokens[token_of_patch(len(tokens))[foreground]]


def image_tokens(image: npt.NDArray[np.uint8], run: RunNetwork, times: StageTimes) -> npt.NDArray[np.float32]:
    """All patch tokens of an image, (784, D) float32, row by row; arguments as of `image_features`."""
    with times.stage("group"):
        seen = network_image(image)[None]
    return run({"image": seen})[0]


def token_of_patch(n_tokens: int) -> npt.NDArray[np.int64]:
    """Which token of a square token grid each patch of the 56x56 grid lies in: (3136,) int64."""
    side = int(n_tokens**0.5)
    along = np.arange(PATCH_GRID) * side // PATCH_GRID
    tokens: npt.NDArray[np.int64] = (along[:, None] * side + along[None, :]).ravel()
    return tokens
