"""The one feature path: what a sensor saw becomes patch features, by the bundle's own networks.

Calibration, evaluation and inspection all come through here, so a bank is compared with features that were
made exactly as its own were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from ..bundle.parameters import Grouping, Modality, RouteName
from ..bundle.reading import Bundle
from ..engines.opening import ObservedSession, Observer, open_session
from ..engines.session import Session
from ..engines.shared_device import shared_device
from ..errors import BundleError
from ..preparation.prepare import PreparedScan
from ..preparation.prepared_part import PreparedPart
from ..sensor.image import network_image
from ..timing import StageTimes
from .gpu.device_grouper import DeviceGrouper
from .grouped import GroupedPart, GroupedPoints, Grouper, group_on_cpu, group_part
from .neighborhood import neighborhood_mean
from .pooling import N_PATCHES, PATCH_GRID, foreground_patches
from .routes import EXTRACTOR, HALLUCINATOR, SECOND_EXTRACTOR, route_of

Array = npt.NDArray[np.float32]
RunNetwork = Callable[[dict[str, Array]], Array]


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

    def averaged(self, size: int) -> PartFeatures:
        """The rows as means over neighborhoods of `size` x `size` patches; `grid` stays as it is.

        A bundle that is calibrated so compares these with its banks; networks never see them.
        """
        if size == 1:
            return self
        second = None if self.second is None else neighborhood_mean(self.second, self.foreground, size)
        return replace(self, main=neighborhood_mean(self.main, self.foreground, size), second=second)

    def everywhere(self) -> PartFeatures:
        """The main modality's features as rows of all 3136 patches."""
        return replace(self, foreground=np.ones(N_PATCHES, np.bool_), main=self.grid(), second=None)


class FeaturePath:
    """A route's networks, run for every part, whatever they run on.

    Attributes:
        route: with its main modality.
        grouping: the point extractor's G and M.
    """

    def __init__(
        self,
        route: RouteName,
        main: Modality,
        grouping: Grouping,
        sessions: Mapping[str, Session],
        grouper: Grouper = group_on_cpu,
    ) -> None:
        """Put a route's steps on networks.

        Args:
            route: the route's name.
            main: its main modality.
            grouping: the point extractor's G and M.
            sessions: the networks by role, ready to run.
            grouper: what groups points.
        """
        self.route, self.grouping = route_of(route, main), grouping
        self._sessions, self._grouper = sessions, grouper

    @contextmanager
    def observed(self, observer: Observer) -> Iterator[None]:
        """Show an observer what goes into and comes out of every network while the block runs."""
        sessions = self._sessions
        self._sessions = {role: ObservedSession(role, session, observer) for role, session in sessions.items()}
        try:
            yield
        finally:
            self._sessions = sessions

    def group(self, prepared: PreparedPart, times: StageTimes) -> PreparedPart:
        """Group the measured points ahead of the networks, where the route measures points.

        Raises:
            ScanError: too few points are left for a group.
        """
        if "pc" not in self.route.measured:
            return prepared
        assert prepared.scan is not None
        return GroupedPart.of(prepared, self.grouped(prepared.scan, times))

    def grouped(self, scan: PreparedScan, times: StageTimes) -> GroupedPoints:
        """Group the points of a scan, measured or hallucinated.

        Raises:
            ScanError: too few points are left for a group.
        """
        with times.stage("group"):
            return group_part(scan, self.grouping, self._grouper)

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
        if self.route.main == "pc":
            return PartFeatures(foreground, self.measured_points(EXTRACTOR, prepared, foreground, times), None)
        assert prepared.image is not None
        tokens = image_tokens(prepared.image, self.network(EXTRACTOR, times), times)
        return PartFeatures(foreground, tokens[token_of_patch(len(tokens))[foreground]], None, tokens)

    def complete(self, features: PartFeatures, prepared: PreparedPart, times: StageTimes) -> PartFeatures:
        """Add what the route compares with its second bank, if it has one.

        Raises:
            ScanError: too few points are left for a group.
        """
        second = self.route.second(_PartSteps(self, features, prepared, times))
        if second is None:
            return features
        return replace(features, second=second.features, hallucinated_input=second.hallucinated_input)

    def without_points(self, dim: int) -> tuple[Array | None, Array | None]:
        """The one feature of all patches without points, (1, D) and (1, E); None where background is not scored."""
        if self.route.main != "pc":
            return None, None
        main = np.zeros((1, dim), np.float32)
        return main, self.route.second_without_points(main, self.hallucinate)

    def hallucinate(self, name: str, value: Array) -> Array:
        """The output of the route's trained network for its one input, called `name`; both without a batch axis."""
        output = self._sessions[HALLUCINATOR].run({name: value[None]})
        hallucination: Array = output[self.route.hallucination][0]
        return hallucination

    def measured_points(
        self, role: str, prepared: PreparedPart, foreground: npt.NDArray[np.bool_], times: StageTimes
    ) -> Array:
        """An extractor's features of the measured points, (n, D) float32."""
        if isinstance(prepared, GroupedPart):
            grouped = prepared.grouped
        else:
            assert prepared.scan is not None
            grouped = self.grouped(prepared.scan, times)
        return pooled_features(grouped, foreground, self.network(role, times), times)

    def network(self, role: str, times: StageTimes) -> RunNetwork:
        """An extractor, from its inputs by name to its tokens; booked as `extract`."""
        session = self._sessions[role]

        def run(inputs: dict[str, Array]) -> Array:
            with times.stage("extract"):
                tokens: Array = session.run(inputs)["tokens"]
            return tokens

        return run


@dataclass(frozen=True)
class _PartSteps:
    """The steps of a route (`patches.routes.Steps`) on the arrays of one part."""

    path: FeaturePath
    features: PartFeatures
    prepared: PreparedPart
    times: StageTimes

    def main(self) -> Array:
        return self.features.main

    def grid(self) -> Array:
        return self.features.grid()

    def sensed(self, modality: Modality) -> Array:
        return network_input(self.prepared, modality)

    def hallucinate(self, name: str, value: Array) -> Array:
        with self.times.stage("hallucinate"):
            return self.path.hallucinate(name, value)

    def at_patches(self, everywhere: Array) -> Array:
        return everywhere[self.features.foreground]

    def measured(self, modality: Modality) -> Array:
        foreground = self.features.foreground
        if modality == "pc":
            return self.path.measured_points(SECOND_EXTRACTOR, self.prepared, foreground, self.times)
        assert self.prepared.image is not None
        return image_features(self.prepared.image, foreground, self._second_extractor(), self.times)

    def extracted(self, modality: Modality, hallucinated_input: Array) -> Array:
        """An image as it is; a map of points where the measured image shows part."""
        foreground = self.features.foreground
        if modality == "pc":
            grouped = self.path.grouped(hallucinated_scan(hallucinated_input, self.prepared), self.times)
            return pooled_features(grouped, foreground, self._second_extractor(), self.times)
        tokens = self._second_extractor()({"image": hallucinated_input[None]})[0]
        return tokens[token_of_patch(len(tokens))[foreground]]

    def _second_extractor(self) -> RunNetwork:
        return self.path.network(SECOND_EXTRACTOR, self.times)


class FeatureExtractor(FeaturePath):
    """A bundle's networks, opened once."""

    def __init__(
        self, bundle: Bundle, provider: str = "cpu", threads: int | None = None, cuda_graph: bool | None = None
    ) -> None:
        """Open the sessions; the arguments are those of `open_session`.

        Raises:
            EngineError: the provider is not available.
            BundleError: a network is missing or not valid.
        """
        manifest = bundle.manifest
        missing = set(route_of(manifest.route, manifest.main).networks) - manifest.networks.keys()
        if missing:
            raise BundleError(
                f"{bundle.path}: the {manifest.route} route needs {', '.join(sorted(missing))}, which the bundle does "
                "not have: export it again"
            )
        sessions = {role: open_session(bundle, role, provider, threads, cuda_graph) for role in manifest.networks}
        device = shared_device(provider) if "pc" in route_of(manifest.route, manifest.main).measured else None
        grouper: Grouper = partial(group_on_cpu, threads=threads) if device is None else DeviceGrouper(device)
        super().__init__(manifest.route, manifest.main, manifest.grouping, sessions, grouper)


def network_input(prepared: PreparedPart, modality: Modality) -> npt.NDArray[np.float32]:
    """What one sensor saw, as I2F takes it: (3, 224, 224) float32, the background zeroed.

    Points are x, y and z in meters; an image is black in the background before it is normalized.
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


def point_features(
    scan: PreparedScan,
    foreground: npt.NDArray[np.bool_],
    grouping: Grouping,
    run: RunNetwork,
    times: StageTimes,
) -> Array:
    """R_PC = A T on the foreground patches: (n, D) float32.

    Args:
        scan: the prepared points.
        foreground: (3136,) bool.
        grouping: the extractor's G and M.
        run: the network: groups (1, G, M, 3) and centers (1, G, 3) to tokens (1, G, D).
        times: where the time is booked.

    Raises:
        ScanError: too few points are left for a group.
    """
    with times.stage("group"):
        grouped = group_part(scan, grouping)
    return pooled_features(grouped, foreground, run, times)


def pooled_features(
    grouped: GroupedPoints, foreground: npt.NDArray[np.bool_], run: RunNetwork, times: StageTimes
) -> Array:
    """A T of groups: (n, D) float32; takes what `point_features` takes."""
    tokens = run({"groups": grouped.groups[None], "centers": grouped.centers[None]})
    with times.stage("pool"):
        return grouped.pool(tokens[0], foreground)


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
    """All patch tokens of an image, (784, D) float32, row by row; takes what `image_features` takes."""
    with times.stage("group"):
        batch = network_image(image)[None]
    return run({"image": batch})[0]


def token_of_patch(n_tokens: int) -> npt.NDArray[np.int64]:
    """Which token of a square token grid each patch of the 56x56 grid lies in: (3136,) int64."""
    side = int(n_tokens**0.5)
    along = np.arange(PATCH_GRID) * side // PATCH_GRID
    tokens: npt.NDArray[np.int64] = (along[:, None] * side + along[None, :]).ravel()
    return tokens
