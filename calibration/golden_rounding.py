"""What a bundle's precision changes of its golden scans, and how much of that passes on the line.

Every form of the networks that is not float32 is run on the recorded scans as a device computes it (half precision is
simulated, see `half_arithmetic`) and compared with what was recorded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import get_args

import msgspec

from ..runtime.acceptance.allowances import FILE, FP32, Form, Rounding, Roundings, is_reduced, judged, networks_of
from ..runtime.acceptance.golden import MAP, GoldenCase, GoldenTensor, read_case, read_golden, record_golden, replay
from ..runtime.acceptance.selftest import compare_tensor
from ..runtime.bundle.manifest import Manifest, Network
from ..runtime.bundle.reading import Bundle
from ..runtime.bundle.writing import Content, changed_contents, draft_bundle
from ..runtime.errors import EngineError
from ..runtime.files.json_encoding import encode_json_file
from ..runtime.inspector import Inspector
from ..runtime.sensor.in_memory import PartSource
from ..runtime.sensor.part import Part
from .half_arithmetic import exact_graph, rounding_graph
from .parity import TOLERANCES

# A device that fuses operators rounds less than the simulation. What maps make of it is more a matter of chance: an
# H200's were off by 3.7e-2 where those of like bundles are by 2e-2 (benchmarks/studies/half_precision.py).
TENSOR_ROOM, MAP_ROOM = 3.0, 4.0


def golden_contents(bundle: Bundle, scans: Mapping[str, PartSource | Part]) -> dict[str, Content]:
    """The record of golden scans of a bundle that may not be written yet, with what its precision changes of them.

    Recorded are the answers of `networks` in float32 arithmetic, on the CPU provider, whatever the line will use.

    Raises:
        ScanError: a scan cannot be read or inspected.
        EngineError: a network gives values that are not finite for a scan.
    """
    models = {role: exact_graph(bundle.read(network.file)) for role, network in bundle.manifest.networks.items()}
    files = record_golden(with_networks(bundle, bundle.manifest.networks, models), scans)
    drafted = draft_bundle(bundle.path, bundle.manifest, changed_contents(bundle, files))
    return {**files, **rounding_contents(drafted)}


def rounding_contents(bundle: Bundle) -> dict[str, Content]:
    """The file that says what the bundle's precision changes of its golden scans; none where all is float32.

    Raises:
        EngineError: a network gives values that are not finite for a recorded scan.
    """
    manifest = bundle.manifest
    forms = [form for form in get_args(Form) if is_reduced(networks_of(manifest, form))]
    measured = {form: measure_rounding(bundle, networks_of(manifest, form)) for form in forms}
    return {FILE: encode_json_file(Roundings(forms=measured), order="sorted")} if forms else {}


def measure_rounding(bundle: Bundle, networks: Mapping[str, Network]) -> Rounding:
    """Repeat the golden scans with other networks, as a device computes these.

    Args:
        bundle: with golden scans.
        networks: by role, whose files are in the bundle.

    Raises:
        EngineError: a network gives values that are not finite for a recorded scan.
    """
    models = {role: rounding_graph(bundle.read(network.file)) for role, network in networks.items()}
    inspector = Inspector(with_networks(bundle, networks, models), graph="networks", allow_any_size=True)
    measured: dict[str, float] = {}
    is_defect = {}
    for case in read_golden(bundle).cases:
        inspection, tensors = replay(inspector, read_case(bundle, case))
        for entry in case.tensors:
            compared = compare_tensor(
                case.name,
                judged(entry, bundle.manifest),
                bundle.array(entry.file),
                tensors.get(entry.name),
                0.0,
            )
            measured[entry.name] = max(measured.get(entry.name, 0.0), _finite(bundle, case, entry, compared.difference))
        is_defect[case.name] = inspection.is_defect
    return Rounding(
        measured=measured,
        allowed={stage: _allowed(stage, share) for stage, share in measured.items()},
        score=TOLERANCES[bundle.manifest.precision].score,
        is_defect=is_defect,
    )


def _allowed(stage: str, measured: float) -> float:
    return max(FP32.map, MAP_ROOM * measured) if stage == MAP else max(FP32.tensors, TENSOR_ROOM * measured)


def with_networks(bundle: Bundle, networks: Mapping[str, Network], models: Mapping[str, bytes]) -> Bundle:
    """The bundle with other networks in place of all of its own: `models` are their graphs, by role."""
    manifest: Manifest = msgspec.structs.replace(
        bundle.manifest, networks=dict(networks), cpu_networks={}, engine_networks={}, engines=[], line_graph=None
    )
    files = {networks[role].file: model for role, model in models.items()}
    changed = draft_bundle(bundle.path, manifest, changed_contents(bundle, files))
    return dataclasses.replace(bundle, manifest=changed.manifest, store=changed.store)


def _finite(bundle: Bundle, case: GoldenCase, entry: GoldenTensor, difference: float | None) -> float:
    if difference is None:
        raise EngineError(
            f"{bundle.path}: the {case.name} golden scan: values of {entry.name} are not finite in "
            f"{bundle.manifest.precision}: this precision does not compute it; choose another"
        )
    return difference
