"""From patch features to a score and a map: both bank searches, the re-weighting and the fusion.

Patches that carry no part have one and the same feature, which every bank holds, so their distance is zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..banks.bank import Matches, MemoryBank
from ..bundle.parameters import ScoreName
from ..bundle.reading import Bundle
from ..errors import BundleError
from ..patches.features import PartFeatures
from ..patches.pooling import N_PATCHES, PATCH_GRID
from ..patches.routes import MAIN, route_of
from ..threads import SearchThreads, SharedSearch, single_threaded_blas
from .fusion import Fusion, decode_fusion
from .scoring import image_score, mean_of_largest, upsample_blur

FUSION = "fusion.json"

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class NormalizedBank:
    """A memory bank of features (f - mean) / std, with the two numbers."""

    bank: MemoryBank
    feature_mean: float
    feature_std: float

    def normalize(self, features: Array) -> Array:
        """(n, d) float32 features as a network gives them -> as the bank holds them."""
        normalized: Array = (features - np.float32(self.feature_mean)) / np.float32(self.feature_std)
        return normalized


@dataclass(frozen=True)
class BankMatch:
    """One part against one bank.

    Attributes:
        score: the re-weighted image score of this bank alone.
        distances: (n,) float32, of the foreground patches.
    """

    score: float
    distances: Array


def match_bank(
    bank: NormalizedBank, features: Array, without_group: int | None = None, shared: SharedSearch | None = None
) -> BankMatch:
    """Distances of foreground patches (n, d) to a bank, and the image score of this bank (paper, section 3.4).

    Args:
        bank: with its normalization.
        features: (n, d) float32, as the network gives them.
        without_group: leave out the rows of this normal scan: how a scan that is itself in the bank is scored.
        shared: threads that share the search.
    """
    queries = bank.bank.prepared(bank.normalize(features))
    return scored_match(bank.bank, queries, bank.bank.search_prepared(queries, without_group, shared))


def scored_match(bank: MemoryBank, queries: Array, matches: Matches) -> BankMatch:
    """The image score of a part whose patches (n, d), prepared as the bank's rows are, have their nearest rows."""
    best = int(matches.distance.argmax())
    neighbors = bank.neighbors[matches.index[best]]
    to_neighbors = bank.distances_prepared(queries[best : best + 1], neighbors[None])[0]
    score = image_score(float(matches.distance[best]), to_neighbors, queries.shape[1])
    return BankMatch(score, matches.distance)


def patch_map(foreground: npt.NDArray[np.bool_], distances: Array) -> Array:
    """(3136,) bool and (n,) float32 -> (56, 56) float32, zero where there is no part."""
    flat = np.zeros(N_PATCHES, np.float32)
    flat[foreground] = distances
    return flat.reshape(PATCH_GRID, PATCH_GRID)


@dataclass(frozen=True)
class Decision:
    """What a calibrated bundle compares a part with; its threads live until `close`, or as long as it does."""

    main: NormalizedBank
    second: NormalizedBank | None
    fusion: Fusion | None
    threads: SearchThreads = field(default_factory=SearchThreads, repr=False, compare=False)
    score: ScoreName = "paper"
    neighborhood: int = 1

    @classmethod
    def load(cls, bundle: Bundle, threads: int | None = None) -> Decision:
        """The banks, memory-mapped, and the fusion of a calibrated bundle.

        Args:
            bundle: calibrated.
            threads: those that share a search; None: as many as this process may use.

        Raises:
            BundleError: a bank or the fusion is missing or does not fit the route.
        """
        main, sharing = load_bank(bundle, MAIN), SearchThreads(threads)
        calibration = bundle.manifest.calibration
        score: ScoreName = "paper" if calibration is None else calibration.score
        neighborhood = 1 if calibration is None else calibration.neighborhood
        second_bank = route_of(bundle.manifest.route, bundle.manifest.main).second_bank
        if second_bank is None:
            return cls(main, None, None, sharing, score, neighborhood)
        fusion = decode_fusion(bundle.read(FUSION), f"{bundle.path}: {FUSION}")
        return cls(main, load_bank(bundle, second_bank), fusion, sharing, score, neighborhood)

    @single_threaded_blas()
    def match(self, features: PartFeatures, without_group: int | None = None) -> tuple[BankMatch, ...]:
        """The part against every bank of the route; two banks are searched at the same time, on one thread in turn."""
        features = features.averaged(self.neighborhood)
        if self.threads.count == 1:
            return tuple(match_bank(bank, rows, without_group) for bank, rows in self._compared(features))
        # Both banks share the threads, so that the one with less to do lets the other go on.
        shared, second_thread = self.threads.pools()
        if self.second is None:
            return (match_bank(self.main, features.main, without_group, shared),)
        assert features.second is not None
        second = second_thread.submit(match_bank, self.second, features.second, without_group, shared)
        return match_bank(self.main, features.main, without_group, shared), second.result()

    def _compared(self, features: PartFeatures) -> list[tuple[NormalizedBank, Array]]:
        """Every bank of the route, and what of the part is compared with it."""
        if self.second is None:
            return [(self.main, features.main)]
        assert features.second is not None
        return [(self.main, features.main), (self.second, features.second)]

    @single_threaded_blas()
    def decide(self, foreground: npt.NDArray[np.bool_], matches: tuple[BankMatch, ...]) -> tuple[float, Array]:
        """The part's score, and its map of (224, 224) float32."""
        distances, score = matches[0].distances, matches[0].score
        if self.fusion is not None:
            distances = self.fusion.fuse_maps(distances, matches[1].distances)
            score = self.fusion.fuse_scores(score, matches[1].score)
        patches = patch_map(foreground, distances)
        map_224 = upsample_blur(patches)
        if self.score == "map":
            score = float(map_224.max())
        elif self.score == "top5":
            score = mean_of_largest(patches)
        return score, map_224

    def judge(self, features: PartFeatures) -> tuple[float, Array]:
        """A part's score and map from its features: `match`, then `decide`."""
        return self.decide(features.foreground, self.match(features))

    def close(self) -> None:
        """End the threads."""
        self.threads.close()


def load_bank(bundle: Bundle, role: str) -> NormalizedBank:
    """One bank of a bundle; its rows stay on disk until they are searched.

    Raises:
        BundleError: the manifest has no such bank, or its arrays do not fit each other.
    """
    entry = bundle.manifest.banks.get(role)
    if entry is None:
        raise BundleError(f"{bundle.path}: there is no {role} bank: run `cmdiad calibrate SCANS` again")
    arrays = {name: bundle.array(file) for name, file in entry.files.items()}
    bank = MemoryBank.from_arrays(arrays, entry.metric)
    return NormalizedBank(bank, entry.feature_mean, entry.feature_std)
