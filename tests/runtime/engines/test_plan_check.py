"""An engine that is not this bundle's, TensorRT's or machine's is refused, with the command for the right one."""

import struct

import msgspec
import pytest
from cmdiad.runtime.bundle.manifest import Manifest, Network, Profile, Tensor, TensorRTEngine
from cmdiad.runtime.bundle.parameters import Grouping, Preprocessing
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.bundle.writing import write_bundle
from cmdiad.runtime.engines.machine import Gpu, Machine
from cmdiad.runtime.engines.plan_check import (
    EngineHeader,
    check_engine,
    check_validity,
    choose_engine,
    read_header,
    rebuild_command,
    require_gpu,
)
from cmdiad.runtime.errors import BundleError, EngineError

VERSION = "1.7.1.116"
BITS = {"sm75": 1, "sm80": 2, "sm86": 4, "sm89": 8, "sm120": 16, "sm121": 32}


def plan(targets=("sm86", "sm89"), version=(1, 7, 1, 116), size=None, body=b"body" * 20):
    """Bytes that begin as an engine of TensorRT-RTX does."""
    mask = sum(BITS[target] for target in targets)
    length = 36 + len(body)
    return struct.pack("<4sI2Q4B4sI", b"vtrt", 0, 2, size or length, *version, b"vtrt", mask) + body


def machine(target="sm86", platform="linux-x86_64", cuda_driver=13000):
    gpus = (Gpu("GPU", target, 1 << 30),) if target else ()
    return Machine(gpus, cuda_driver, "580.65", platform)


def entry(**changes):
    engine = TensorRTEngine(
        file="engines/extractor.engine",
        role="extractor",
        flavor="tensorrt-rtx",
        version=VERSION,
        targets=["sm86", "sm89"],
        platform="linux-x86_64",
        precision="fp32",
        graph_digest="",
        profiles={"x": Profile(min=[1], opt=[1], max=[1])},
        workspace_bytes=None,
        tf32=False,
        stripped=False,
        cuda_driver=0,
        log="engines/extractor.log",
    )
    return msgspec.structs.replace(engine, **changes)


@pytest.fixture
def make_bundle(tmp_path):
    def make(raw, **changes):
        tensor = Tensor(name="x", shape=["batch"], dtype="float32")
        network = Network(file="extractor.onnx", architecture="a", parameters=1, inputs=[tensor], outputs=[tensor])
        manifest = Manifest(
            product="part",
            route="single",
            main="pc",
            precision="fp32",
            preprocessing=Preprocessing(),
            grouping=Grouping(),
            networks={"extractor": network},
        )
        path = tmp_path / "bundle"
        digest = write_bundle(path, manifest, {"extractor.onnx": b"graph"}).files["extractor.onnx"]
        manifest = msgspec.structs.replace(manifest, engines=[entry(**{"graph_digest": digest, **changes})])
        write_bundle(path, manifest, {"extractor.onnx": b"graph", "engines/extractor.engine": raw})
        return open_bundle(path)

    return make


def check(bundle, raw=None, version=VERSION, here=None):
    engine = bundle.manifest.engines[0]
    check_engine(bundle, engine, raw or bundle.read(engine.file), version, here or machine())


def test_the_right_engine_passes(make_bundle):
    check(make_bundle(plan()))
    check(make_bundle(plan()), here=machine("sm89"))


def test_a_header_says_what_it_is():
    assert read_header(plan(("sm75", "sm121"))) == EngineHeader(116, VERSION, ["sm75", "sm121"])
    for other in (b"", b"vtrt", b"ONNX" + plan()[4:], plan()[:35], plan()[:8] + bytes(8) + plan()[16:]):
        assert read_header(other) is None


@pytest.mark.parametrize(
    ("changes", "here", "version", "words"),
    [
        ({}, machine("sm120"), VERSION, "built for sm86 sm89, this is sm120"),
        ({}, machine(), "1.8.0.1", "built for tensorrt-rtx 1.7.1.116, this is 1.8.0.1"),
        ({}, machine(platform="windows-x86_64"), VERSION, "built for linux-x86_64, this is windows-x86_64"),
        ({"cuda_driver": 13010}, machine(), VERSION, r"a driver for CUDA 13\.1, this is one for 13\.0"),
        ({"version": "1.7.0.1"}, machine(), "1.7.0.1", "says of itself 1.7.1.116"),
        ({"targets": ["sm86"]}, machine(), VERSION, "says of itself 1.7.1.116 for sm86 sm89, the manifest"),
    ],
    ids=["device", "version", "system", "driver", "header version", "header targets"],
)
def test_an_engine_for_another_machine_is_refused_with_the_command(make_bundle, changes, here, version, words):
    bundle = make_bundle(plan(), **changes)
    with pytest.raises(EngineError, match=words) as refusal:
        check(bundle, version=version, here=here)
    assert f"cmdiad export --bundle {bundle.path} --engine tensorrt-rtx --target {here.target}" in str(refusal.value)
    assert refusal.value.exit_code == 5


def test_standard_tensorrt_has_no_such_header(make_bundle):
    bundle = make_bundle(b"any plan", flavor="tensorrt", version="11.4.0", targets=["sm90"])
    check(bundle, version="11.4.0", here=machine("sm90"))
    with pytest.raises(EngineError, match=r"--engine tensorrt$"):
        check(bundle, version="10.12.0", here=machine("sm90"))


@pytest.mark.parametrize("raw", [b"not an engine", plan(size=5000), plan()[:60]])
def test_what_is_no_whole_engine_is_refused(make_bundle, raw):
    with pytest.raises(EngineError, match="not a complete TensorRT-RTX engine"):
        check(make_bundle(raw))


def test_bytes_that_are_not_the_bundle_s_are_refused_first(make_bundle):
    """Whatever else is wrong: the digest is looked at before anything is believed."""
    with pytest.raises(BundleError, match=r"extractor\.engine was changed"):
        check(make_bundle(plan()), raw=plan(body=b"evil" * 20), version="9", here=machine("sm75"))


def test_an_engine_of_another_graph_is_a_bad_bundle(make_bundle):
    with pytest.raises(BundleError, match=r"another graph.*cmdiad export"):
        check(make_bundle(plan(), graph_digest="0" * 64))


def test_the_engine_is_chosen_by_the_gpu(make_bundle):
    bundle = make_bundle(plan())
    assert choose_engine(bundle, "extractor", "tensorrt-rtx", machine("sm89")).role == "extractor"
    with pytest.raises(EngineError, match=r"for sm120 \(there: sm86, sm89\).*--target sm120"):
        choose_engine(bundle, "extractor", "tensorrt-rtx", machine("sm120"))
    with pytest.raises(EngineError, match=r"there: none"):
        choose_engine(bundle, "extractor", "tensorrt", machine("sm86"))
    with pytest.raises(EngineError, match="no NVIDIA GPU"):
        choose_engine(bundle, "extractor", "tensorrt-rtx", machine(None))


@pytest.mark.parametrize("target", ["sm61", "sm87", "sm90", "sm100"])
def test_a_gpu_that_the_flavor_does_not_run_on_is_told_what_does(make_bundle, target):
    """No command that the export would refuse: TensorRT-RTX has no such target, standard TensorRT builds on it."""
    bundle = make_bundle(plan())
    refused = rf"tensorrt-rtx does not run on {target} \(it has sm75, .*sm121\).*--engine tensorrt\).*tensorrt-engine"
    with pytest.raises(EngineError, match=refused) as refusal:
        choose_engine(bundle, "extractor", "tensorrt-rtx", machine(target))
    assert "--provider cuda" in str(refusal.value) and "--target" not in str(refusal.value)
    with pytest.raises(EngineError, match="does not run on"):
        check(bundle, here=machine(target))
    assert require_gpu(machine(target), "tensorrt") == target


def test_turing_is_told_the_precision_that_it_takes(make_bundle):
    bundle = make_bundle(plan())
    assert " --precision fp16 --engine tensorrt-rtx --target sm75" in rebuild_command(bundle, "tensorrt-rtx", "sm75")
    assert "--precision" not in rebuild_command(bundle, "tensorrt-rtx", "sm86")
    assert "--precision" not in rebuild_command(bundle, "tensorrt", "sm75")


def test_the_flavor_s_own_opinion_is_heard(make_bundle):
    """Without a driver TensorRT-RTX calls every engine invalid; of bytes that are none it says so."""
    trt = pytest.importorskip("tensorrt_rtx")
    bundle = make_bundle(plan())
    command = rebuild_command(bundle, "tensorrt-rtx", "sm86")
    runtime = trt.Runtime(trt.Logger(trt.Logger.INTERNAL_ERROR))
    with pytest.raises(EngineError, match=r"malformed_engine.*cmdiad export"):
        check_validity(trt, runtime, bundle.manifest.engines[0], b"ONNX" + bytes(60), command)
