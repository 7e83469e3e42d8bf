"""Golden answers are float32's: a device that rounds as its precision does passes, one that computes wrongly fails.

The devices are simulated: the bundle's graphs, rewritten to round as they would.
"""

import json

import msgspec
import numpy as np
import onnx
import pytest
from cmdiad.benchmarks.shared.simulated_devices import bfloat16, fused, half_sums, right, tf32
from cmdiad.calibration.golden_rounding import (
    MAP_ROOM,
    golden_contents,
    measure_rounding,
    rounding_contents,
    with_networks,
)
from cmdiad.calibration.half_arithmetic import rounding_graph
from cmdiad.export.precision.casting import convert
from cmdiad.export.precision.kept_operators import geometry
from cmdiad.export.precision.reduced import cpu_int8
from cmdiad.runtime.acceptance.allowances import FILE, FP32, judged, limits
from cmdiad.runtime.acceptance.golden import INDEX, golden_files, read_golden
from cmdiad.runtime.acceptance.selftest import run_selftest
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.bundle.writing import changed_contents, draft_bundle
from cmdiad.runtime.errors import BundleError
from onnx import numpy_helper


def drafted(bundle, manifest, files):
    return draft_bundle(bundle.path, manifest, changed_contents(bundle, files))


@pytest.fixture(scope="module")
def fp32(calibrated_bundle):
    return open_bundle(calibrated_bundle)


@pytest.fixture(scope="module")
def fp16(fp32):
    """The bundle with fp16 networks, whose golden scans were recorded in fp32."""
    models, entries = {}, {}
    for role, network in fp32.manifest.networks.items():
        model = fp32.read(network.file)
        models[network.file] = convert(model, "fp16", geometry(onnx.load_model_from_string(model)))
        entries[role] = msgspec.structs.replace(network, precision="fp16")
    manifest = msgspec.structs.replace(fp32.manifest, precision="fp16", networks=entries, line_graph=None)
    bundle = drafted(fp32, manifest, models)
    return drafted(bundle, bundle.manifest, rounding_contents(bundle))


def on_device(bundle, rewrite, roles=("extractor", "hallucinator")):
    """The bundle whose networks of these roles compute as a device does, all others as a right one does."""
    networks = bundle.manifest.networks
    models = {role: rounding_graph(bundle.read(network.file)) for role, network in networks.items()}
    return with_networks(bundle, networks, {**models, **{role: rewrite(models[role]) for role in roles}})


def failed_stages(bundle):
    return {comparison.stage for comparison in run_selftest(bundle).comparisons if not comparison.passed}


def changed_weight(change):
    """A rewriting of a graph's largest weight."""

    def rewrite(model):
        proto = onnx.load_model_from_string(model)
        weight = max(proto.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        weight.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(weight).copy()), weight.name))
        return proto.SerializeToString()

    return rewrite


def with_swapped_channels(values):
    values[[0, 1]] = values[[1, 0]]
    return values


@pytest.mark.parametrize("device", [right, fused], ids=["rounds_every_tensor", "fuses"])
def test_a_right_device_passes(fp16, device):
    report = run_selftest(on_device(fp16, device))
    assert report.passed, [comparison for comparison in report.comparisons if not comparison.passed]
    moved = {comparison.stage: comparison.difference for comparison in report.comparisons}
    assert moved["extractor.tokens"] > 1e-4 and moved["map"] > FP32.map


def test_the_cpu_provider_passes(fp16):
    assert run_selftest(fp16).passed


@pytest.mark.parametrize(
    ("device", "roles", "stages"),
    [
        (bfloat16, ("extractor", "hallucinator"), {"map"}),
        (half_sums, ("hallucinator",), {"hallucinator.hallucination"}),
        (changed_weight(with_swapped_channels), ("extractor",), {"extractor.tokens", "map"}),
        (changed_weight(with_swapped_channels), ("hallucinator",), {"hallucinator.hallucination", "map"}),
        (changed_weight(lambda values: 1.05 * values), ("extractor",), {"extractor.tokens"}),
    ],
    ids=["bfloat16", "half_sums", "swapped_channel", "swapped_channel_of_the_hallucinator", "stale_weights"],
)
def test_a_broken_device_fails(fp16, device, roles, stages):
    assert stages <= failed_stages(on_device(fp16, device, roles))


def test_a_missing_bank_fails_in_map_and_score(fp16):
    rows = np.zeros_like(fp16.array("bank_hallucinated.npy"))
    bundle = drafted(fp16, fp16.manifest, {"bank_hallucinated.npy": rows})
    assert {"map"} <= failed_stages(bundle) and "extractor.tokens" not in failed_stages(bundle)


def test_a_map_of_zero_is_judged_by_the_pixel_threshold(fp16):
    """Where every patch is in the banks; a share of nothing would let everything pass, or nothing."""
    (case, *_) = read_golden(fp16).cases
    (entry,) = [tensor for tensor in case.tensors if tensor.name == "map"]
    pixel_threshold = fp16.manifest.calibration.pixel_threshold.value
    assert judged(msgspec.structs.replace(entry, scale=0.0), fp16.manifest).scale == pixel_threshold
    assert judged(msgspec.structs.replace(entry, scale=9e9), fp16.manifest).scale == 9e9
    assert judged(case.tensors[0], fp16.manifest) == case.tensors[0]


def test_networks_in_float32_are_held_to_float32(fp32):
    """TF32 is what a GPU does unless it is told not to."""
    assert {"extractor.tokens", "map"} <= failed_stages(on_device(fp32, tf32))
    assert not failed_stages(on_device(fp32, right))
    assert FILE not in fp32.manifest.files


def test_what_is_measured_is_recorded_with_what_passes(fp16):
    rounding = json.loads(fp16.read(FILE))["forms"]["networks"]
    assert rounding["measured"]["extractor.groups"] == 0 and rounding["allowed"]["extractor.groups"] == FP32.tensors
    assert rounding["allowed"]["map"] == pytest.approx(MAP_ROOM * rounding["measured"]["map"])
    assert rounding["is_defect"].keys() == {"normal", "highest"}


def test_a_record_of_fp16_networks_is_exact(fp16, synth_data):
    scan = synth_data / "gland" / "train" / "good" / "xyz" / "000.tiff"
    bare = draft_bundle(
        fp16.path,
        fp16.manifest,
        changed_contents(fp16, {}, dropped=golden_files(fp16.manifest)),
    )
    files = golden_contents(bare, {"normal": scan})
    assert {INDEX, FILE} <= files.keys()
    again = drafted(bare, bare.manifest, files)
    assert read_golden(again).provider == "cpu" and run_selftest(on_device(again, right)).passed


def test_int8_of_the_cpu_is_held_to_what_it_changes_and_float32_beside_it_to_float32(fp32):
    cpu = {role: cpu_int8(fp32.read(network.file)).model for role, network in fp32.manifest.networks.items()}
    entries = {
        role: msgspec.structs.replace(network, precision="int8", file=f"{role}.int8.cpu.onnx")
        for role, network in fp32.manifest.networks.items()
    }
    manifest = msgspec.structs.replace(fp32.manifest, precision="int8", cpu_networks=entries)
    bundle = drafted(fp32, manifest, {entries[role].file: model for role, model in cpu.items()})
    bundle = drafted(bundle, bundle.manifest, rounding_contents(bundle))
    assert run_selftest(bundle).passed
    assert limits(bundle, "cpu", line=False).rounding == measure_rounding(bundle, entries)
    assert limits(bundle, "cuda", line=False).rounding is None
    assert limits(bundle, "cpu", line=True).rounding is None


def test_an_earlier_record_of_a_reduced_precision_is_refused_in_plain_words(fp16):
    earlier = draft_bundle(fp16.path, fp16.manifest, changed_contents(fp16, {}, dropped=[FILE]))
    with pytest.raises(BundleError, match=r"recorded by an earlier version, without what fp16 changes.*calibrate"):
        run_selftest(earlier)
    damaged = drafted(fp16, fp16.manifest, {FILE: b'{"forms": {"gpu": {}}}'})
    with pytest.raises(BundleError, match=r"precision\.json is not what"):
        run_selftest(damaged)
