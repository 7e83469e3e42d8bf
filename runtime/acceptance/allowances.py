"""How far answers may be from the recorded ones, because of another order of summation or a precision's rounding.

The recorded answers are those of float32 arithmetic. What a reduced precision changes in the golden scans was measured
when they were recorded, with the bundle's own banks, and is kept beside them; networks in float32 are held to `FP32`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from ..bundle.bounds import require_finite
from ..bundle.manifest import Manifest, Network
from ..bundle.reading import Bundle
from ..engines.opening import ENGINE_PROVIDERS
from ..engines.providers import PROVIDERS
from ..errors import BundleError
from .golden import FOLDER, MAP, GoldenCase, GoldenTensor, decode_record

FILE = f"{FOLDER}/precision.json"
EXACT_PRECISION = "fp32"
# Which of a manifest's networks run.
Form = Literal["networks", "engine_networks", "cpu_networks"]


@dataclass(frozen=True)
class GoldenTolerance:
    """The largest difference allowed.

    Attributes:
        tensors: of what goes into and comes out of the networks, as a share of the recorded tensor's largest value.
        map: of the anomaly map, as a share of its largest recorded value or of the pixel threshold if larger:
            where every patch of a golden scan is in the banks, its map is zero.
        score: of the score, as a share of the score or of the threshold, whichever is larger.
    """

    tensors: float
    map: float
    score: float


# An H200 is off by 2e-5, 1.4e-4 and 1e-5; its tensor cores' TF32 would be by 3e-3 and 6e-3
# (benchmarks/studies/half_precision.py).
FP32 = GoldenTolerance(tensors=1e-3, map=5e-4, score=3e-4)


class Rounding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What networks of a reduced precision change of the golden scans.

    Attributes:
        measured: the largest difference of each stage, as `GoldenTolerance` has it.
        allowed: what passes, by stage.
        score: what passes of the score.
        is_defect: the verdict of each case.
    """

    measured: dict[str, float]
    allowed: dict[str, float]
    score: float
    is_defect: dict[str, bool]

    def __post_init__(self) -> None:
        """Refuse what everything would pass; see `bounds`."""
        require_finite(self, "score")


class Roundings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of golden/precision.json: what each form of the networks changes that is not float32."""

    forms: dict[Form, Rounding]


@dataclass(frozen=True)
class Limits:
    """What may differ under one provider.

    Attributes:
        rounding: of the networks that run; None: they are float32.
        threshold: of the bundle.
    """

    rounding: Rounding | None
    threshold: float

    def of_stage(self, stage: str) -> float:
        """The largest difference of a tensor or of the map, as a share of what `judged` says."""
        strict = FP32.map if stage == MAP else FP32.tensors
        return strict if self.rounding is None else self.rounding.allowed.get(stage, strict)

    def of_score(self) -> float:
        """The largest difference of the score, as a share of `score_scale`."""
        return FP32.score if self.rounding is None else self.rounding.score

    def score_scale(self, case: GoldenCase) -> float:
        """What a score's difference is a share of: the score or the threshold, whichever is larger."""
        return max(abs(case.score), abs(self.threshold))

    def verdict(self, case: GoldenCase) -> bool:
        """The verdict to be given: that of the precision, where a score lies so near the threshold that it differs."""
        return case.is_defect if self.rounding is None else self.rounding.is_defect.get(case.name, case.is_defect)


def limits(bundle: Bundle, provider: str, line: bool) -> Limits:
    """What may differ under a provider.

    Args:
        bundle: calibrated.
        provider: what runs the networks.
        line: the fused line graph is run, which is made of the manifest's `networks`.

    Raises:
        BundleError: what the bundle's precision changes was not recorded, or cannot be read.
    """
    manifest = bundle.manifest
    assert manifest.calibration is not None
    form: Form = "networks" if line else form_run(manifest, provider)
    recorded = read_roundings(bundle)
    rounding = recorded.forms.get(form) if is_reduced(networks_of(manifest, form)) else None
    if rounding is None and is_reduced(networks_of(manifest, form)):
        raise BundleError(f"{bundle.path}: {FILE} has no entry for its {form}: run `cmdiad calibrate SCANS` again")
    return Limits(rounding, manifest.calibration.threshold.value)


def judged(entry: GoldenTensor, manifest: Manifest) -> GoldenTensor:
    """A recorded tensor with the scale that its differences are a share of; see `GoldenTolerance`."""
    if entry.name != MAP or manifest.calibration is None:
        return entry
    return msgspec.structs.replace(entry, scale=max(entry.scale, abs(manifest.calibration.pixel_threshold.value)))


def read_roundings(bundle: Bundle) -> Roundings:
    """What the bundle's precision changes of its golden scans; nothing where it is float32.

    Raises:
        BundleError: it was not recorded, or cannot be read.
    """
    if bundle.manifest.precision == EXACT_PRECISION:
        return Roundings(forms={})
    if FILE not in bundle.manifest.files:
        raise BundleError(
            f"{bundle.path}: its golden scans were recorded by an earlier version, without what "
            f"{bundle.manifest.precision} changes of them: run `cmdiad calibrate SCANS` again"
        )
    return decode_record(bundle, FILE, Roundings, "what a precision changes of golden scans")


def form_run(manifest: Manifest, provider: str) -> Form:
    """Which of a manifest's networks a provider runs; see `Manifest.run_networks` and `built_networks`."""
    if provider in ENGINE_PROVIDERS:
        return "engine_networks" if manifest.engine_networks else "networks"
    on_cpu_provider = provider in PROVIDERS and PROVIDERS[provider].is_cpu
    return "cpu_networks" if on_cpu_provider and manifest.cpu_networks else "networks"


def networks_of(manifest: Manifest, form: Form) -> dict[str, Network]:
    """The networks of a form, by role; none where the manifest has no such form."""
    networks = {
        "networks": manifest.networks,
        "engine_networks": manifest.engine_networks,
        "cpu_networks": manifest.cpu_networks,
    }[form]
    return {**manifest.networks, **networks} if networks else {}


def is_reduced(networks: Mapping[str, Network]) -> bool:
    """Whether one of them is not float32."""
    return any(network.precision != EXACT_PRECISION for network in networks.values())
