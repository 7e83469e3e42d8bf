"""Candidates for evaluation on one class: settled, prepared, calibrated; what they have in common is computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from warnings import warn

import msgspec
import numpy as np
import numpy.typing as npt

from ...runtime.bundle.manifest import Manifest, Statistics
from ...runtime.bundle.parameters import PartRange, Preprocessing
from ...runtime.bundle.reading import Bundle
from ...runtime.errors import naming_scan
from ...runtime.patches.features import FeatureExtractor, PartFeatures
from ...runtime.patches.routes import EXTRACTOR, MAIN, modalities
from ...runtime.preparation.part_range import range_of
from ...runtime.preparation.part_samples import prepare_sample
from ...runtime.preparation.prepared_part import PreparedPart
from ...runtime.preparation.raw_or_preprocessed import Settled
from ...runtime.progress import Progress
from ...runtime.sensor.dataset import Sample
from ...runtime.sensor.part import input_file
from ...runtime.timing import StageTimes
from ..calibrate import (
    Calibrated,
    Side,
    calibrate_side,
    combine,
    fixed_statistics,
    naming_bank,
    require_usable,
)
from ..calibration_settings import CalibrationSettings
from ..copies import KnownParts
from ..survey import settled_preprocessing
from .outcomes import name_of

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Candidate:
    """What is evaluated.

    Attributes:
        name: what reports call it.
        bundle: exported; whether it is calibrated does not matter.
        settings: of the calibration.
        preprocessing: of another sensor than the bundle's; None: the bundle's, but raw or preprocessed is decided anew.
    """

    name: str
    bundle: Bundle
    settings: CalibrationSettings
    preprocessing: Preprocessing | None = None


@dataclass(frozen=True)
class Contender:
    """A candidate with its networks open, and keys: candidates with an equal key share the work of it.

    Attributes:
        candidate: what is evaluated.
        extractor: its networks.
        expected: what its calibration saw of the class's parts; None before that.
    """

    candidate: Candidate
    extractor: FeatureExtractor
    expected: PartRange | None = None

    def require_range(self) -> PartRange:
        """What its calibration saw; to be asked for after that."""
        assert self.expected is not None
        return self.expected

    @property
    def manifest(self) -> Manifest:
        """Of the candidate's bundle."""
        return self.candidate.bundle.manifest

    @property
    def prepared_key(self) -> object:
        """What is read of a part, and how it is prepared."""
        manifest = self.manifest
        return "prepared", *sorted(modalities(manifest)), msgspec.json.encode(manifest.preprocessing)

    @property
    def main_key(self) -> object:
        """The main modality's features; those of an image differ if points tell where the part is."""
        manifest = self.manifest
        settings = msgspec.json.encode([manifest.preprocessing, manifest.grouping])
        return "main", *self._digests(EXTRACTOR), settings, "pc" in modalities(manifest)

    @property
    def statistics(self) -> Statistics | None:
        """What both banks are normalized with; None where each has its own."""
        return fixed_statistics(self.manifest, self.candidate.settings)

    @property
    def second_key(self) -> object:
        """The features that are compared with the second bank."""
        manifest = self.manifest
        networks = tuple(digest for role in sorted(manifest.networks) for digest in self._digests(role))
        return "second", manifest.route, networks, self.main_key

    def _digests(self, role: str) -> list[str]:
        """Of the graphs that a provider may run as this network."""
        manifest = self.manifest
        sets = (manifest.networks, manifest.cpu_networks)
        return [manifest.files[networks[role].file] for networks in sets if role in networks]


def settled_contenders(
    contenders: Sequence[Contender], samples: Sequence[Sample], progress: Progress
) -> list[Contender]:
    """The contenders with raw or preprocessed decided once, from the class's own normal scans, as calibration does.

    Raises:
        UsageError: scans are of both kinds.
        ScanError: a scan cannot be read.
    """
    settled: dict[bytes, Settled] = {}
    changed = []
    for contender in contenders:
        bundle = contender.candidate.bundle
        asked = contender.candidate.preprocessing or bundle.manifest.preprocessing.undecided()
        measured = modalities(bundle.manifest)
        key = msgspec.json.encode([sorted(measured), asked])
        if key not in settled:
            scans = [input_file(sample, measured) for sample in samples]
            settled[key] = settled_preprocessing(bundle.manifest, asked, scans, progress)
            for warning in settled[key].warnings:
                warn(warning, stacklevel=2)
        manifest = msgspec.structs.replace(bundle.manifest, preprocessing=settled[key].preprocessing)
        candidate = replace(contender.candidate, bundle=replace(bundle, manifest=manifest))
        changed.append(replace(contender, candidate=candidate))
    return changed


@dataclass(frozen=True)
class _Measured:
    """A normal part.

    Attributes:
        sample: of its scan.
        scan: the number of that, from 0.
        part: its own number in it, from 0.
        features: of the main modality.
        prepared: as the networks see it.
    """

    sample: Sample
    scan: int
    part: int
    features: PartFeatures
    prepared: PreparedPart


class NormalParts:
    """The normal parts of a class: prepared, measured and made into banks once for all contenders.

    Attributes:
        known: what was measured of them.
        copies: which of them are there twice, a sentence each.
    """

    def __init__(self, samples: Sequence[Sample], progress: Progress) -> None:
        self.known, self.copies = KnownParts(), list[str]()
        self._samples, self._progress = samples, progress
        self._measured: dict[object, list[_Measured]] = {}
        self._completed: tuple[object, list[PartFeatures]] = (None, [])
        self._sides: dict[object, Side] = {}

    def calibrate(self, contender: Contender) -> Calibrated:
        """Banks, fusion and thresholds of one contender.

        Raises:
            ScanError: a scan cannot be read or used.
        """
        settings = contender.candidate.settings
        measured = [part.features.averaged(settings.neighborhood) for part in self._measure(contender)]
        patchless = contender.extractor.without_points(measured[0].main.shape[1])
        main = self._side(contender, MAIN, contender.main_key, patchless[0], lambda: [part.main for part in measured])
        second = None
        role = contender.extractor.route.second_bank
        if role is not None:
            second = self._side(contender, role, contender.second_key, patchless[1], lambda: self._second(contender))
        return combine([part.foreground for part in measured], main, second, "", settings)

    def part_range(self, contender: Contender) -> PartRange:
        """What the normal parts show of themselves, after the contender was calibrated."""
        return range_of([part.prepared.view for part in self._measure(contender)])

    def names(self, contender: Contender) -> list[str]:
        """Of all normal parts, after the contender was calibrated."""
        measured = self._measure(contender)
        several = len(measured) > len(self._samples)
        return [f"train/{name_of(one.sample)}{f'#{one.part + 1}' if several else ''}" for one in measured]

    def _measure(self, contender: Contender) -> list[_Measured]:
        key = contender.main_key
        if key not in self._measured:
            is_first = not self._measured
            self._measured[key] = []
            for scan, sample in enumerate(self._samples):
                with naming_scan(sample.scan):
                    for part, prepared in enumerate(prepare(sample, contender.manifest, StageTimes())):
                        if is_first:
                            self._note_copy(sample, prepared)
                        features = contender.extractor.measure(prepared, StageTimes())
                        require_usable(sample.scan, features)
                        self._measured[key].append(_Measured(sample, scan, part, features, prepared))
                self._progress("features", scan + 1, len(self._samples), "")
        return self._measured[key]

    def _note_copy(self, sample: Sample, prepared: PreparedPart) -> None:
        name = f"train/{name_of(sample)}"
        if (twin := self.known.like(prepared)) is None:
            self.known.add(prepared, name)
        else:
            self.copies.append(
                f"{name} is the same scan as {twin}: the threshold means little where parts are copies of each other"
            )

    def _second(self, contender: Contender) -> list[Array]:
        """Those of the last route only: several routes' would need several times the memory."""
        if self._completed[0] != contender.second_key:
            self._completed = (
                contender.second_key,
                [self._complete(contender, measured) for measured in self._measure(contender)],
            )
        size = contender.candidate.settings.neighborhood
        completed = (part.averaged(size) for part in self._completed[1])
        return [part.second for part in completed if part.second is not None]

    def _complete(self, contender: Contender, measured: _Measured) -> PartFeatures:
        scan, prepared = measured.sample.scan, measured.prepared
        with naming_scan(scan):
            # The features may have been measured for a route that does not look at both sensors.
            if "rgb" in modalities(contender.manifest) and prepared.image is None:
                prepared = prepare(measured.sample, contender.manifest, StageTimes())[measured.part]
            completed = contender.extractor.complete(measured.features, prepared, StageTimes())
        require_usable(scan, completed)
        return completed

    def _side(
        self,
        contender: Contender,
        role: str,
        features_key: object,
        patchless: Array | None,
        rows: Callable[[], list[Array]],
    ) -> Side:
        # Banks are the same for every score.
        settings, statistics = replace(contender.candidate.settings, score="paper"), contender.statistics
        key = features_key, settings, statistics
        if key not in self._sides:
            progress = naming_bank(self._progress, role)
            scan_of = [part.scan for part in self._measure(contender)]
            self._sides[key] = calibrate_side(rows(), patchless, settings, progress, statistics, scan_of)
        return self._sides[key]


def prepare(
    sample: Sample, manifest: Manifest, times: StageTimes, expected: PartRange | None = None
) -> list[PreparedPart]:
    """Read what the route looks at, and prepare it: the part that is most as expected, or all parts of the scan.

    Raises:
        ScanError: a file cannot be read or used.
    """
    return prepare_sample(sample, modalities(manifest), manifest.preprocessing, expected, times)
