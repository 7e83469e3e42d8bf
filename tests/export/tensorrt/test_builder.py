"""The builder on small graphs: both flavors' rules, targets, profiles, precisions, and TensorRT's own words in errors.

Standard TensorRT is stood in for by TensorRT-RTX without the names that only it has: the two share their API but for
these. Both build for real; nothing here needs a GPU.
"""

import sys

import numpy as np
import onnx
import pytest
from cmdiad.export.graphs import describe_network
from cmdiad.export.tensorrt.builder import Batch, EngineGraph, EngineSettings, check_settings, network_profiles
from cmdiad.export.tensorrt.process import build_apart
from cmdiad.runtime.bundle.manifest import Network, Profile, Tensor
from cmdiad.runtime.engines.flavor import FLAVORS, collecting_logger, import_flavor
from cmdiad.runtime.engines.machine import Gpu, Machine
from cmdiad.runtime.engines.plan_check import read_header
from cmdiad.runtime.errors import EngineError, UsageError
from onnx import TensorProto, helper, numpy_helper

trt = pytest.importorskip("tensorrt_rtx", reason="pip install 'cmdiad[tensorrt-rtx]'")

RTX, STANDARD = FLAVORS["tensorrt-rtx"], FLAVORS["tensorrt"]
BARE = Machine((), 0, "", "linux-x86_64")
HOPPER = Machine((Gpu("H100", "sm90", 80 << 30),), 13000, "580.65", "linux-x86_64")
ONLY_RTX = {"ComputeCapability", "CudaGraphStrategy", "EngineValidity", "EngineInvalidityDiagnostics", "IRuntimeCache"}
DTYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16}


def product(dtype="float32", nodes=None, weights=(), size=64):
    """y = x @ w for x (batch, 5, size), or the given nodes from x to y."""
    kind = DTYPES[dtype]
    values = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
    weight = helper.make_tensor("w", kind, values.shape, values.ravel().tolist())
    x, y = (helper.make_tensor_value_info(name, kind, ["batch", 5, size]) for name in "xy")
    nodes = nodes or [helper.make_node("MatMul", ["x", "w"], ["y"])]
    graph = helper.make_graph(nodes, "product", [x], [y], [weight, *weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()


def network(shape=("batch", 5, 64)):
    tensor = Tensor(name="x", shape=list(shape), dtype="float32")
    return Network(file="n.onnx", architecture="a", parameters=0, inputs=[tensor], outputs=[tensor])


def build(model, *targets, flavor=RTX, machine=BARE, **settings):
    return build_apart(EngineGraph(network(), model), "product", flavor, EngineSettings(targets, **settings), machine)


STAND_IN = f"""
import tensorrt_rtx
globals().update({{name: value for name, value in vars(tensorrt_rtx).items() if name not in {ONLY_RTX}}})
"""


@pytest.fixture
def standard(tmp_path, monkeypatch):
    """Standard TensorRT's stand-in, where the process that builds finds it."""
    (tmp_path / "tensorrt.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.parametrize("targets", [("sm120",), ("sm80", "sm86", "sm89", "sm120")])
def test_an_engine_is_for_its_targets(targets):
    built = build(product(), *targets)
    header = read_header(built.plan)
    assert (header.size, header.version, header.targets) == (len(built.plan), built.version, list(targets))
    assert b"product" in built.plan and "INFO: " in built.log


def test_weights_in_a_file_of_their_own_are_read(tmp_path):
    inside = product()
    model = onnx.load_model_from_string(inside)
    for weight in model.graph.initializer:
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight), weight.name))
    onnx.save_model(model, tmp_path / "m", save_as_external_data=True, location="m.data", size_threshold=0)
    graph = EngineGraph(network(), (tmp_path / "m").read_bytes(), {"m.data": (tmp_path / "m.data").read_bytes()})
    assert len(graph.model) < len(inside) / 10
    built = build_apart(graph, "product", RTX, EngineSettings(("sm86",)), BARE)
    assert len(built.plan) == len(build(inside, "sm86").plan)


def test_turing_takes_fp16_only_and_the_reason_is_given():
    assert read_header(build(product("float16"), *RTX.targets).plan).targets == list(RTX.targets)
    for targets in (("sm75",), ("sm75", "sm86")):
        with pytest.raises(EngineError, match=r"FP32 GEMM is not supported.*--precision fp16") as refusal:
            build(product(), *targets)
        assert refusal.value.exit_code == 5


def test_the_same_build_gives_the_same_bytes_and_log():
    first, second = build(product(), "sm86", workspace_bytes=1 << 26), build(product(), "sm86", workspace_bytes=1 << 26)
    assert (first.plan, first.log) == (second.plan, second.log)


def test_tf32_changes_the_engine_only_if_asked():
    assert build(product(), "sm86").plan != build(product(), "sm86", tf32=True).plan


@pytest.mark.parametrize("batch", [Batch(1, 2, 8), Batch(4, 4, 4)])
def test_profiles_reach_from_the_smallest_to_the_largest_batch(batch):
    built = build(product(), "sm86", batch=batch)
    assert built.profiles == {"x": Profile(min=[batch.min, 5, 64], opt=[batch.opt, 5, 64], max=[batch.max, 5, 64])}


def test_the_number_of_patches_is_free_too():
    profile = network_profiles(network(("batch", "patches", 8)), Batch(1, 1, 2))["x"]
    assert (profile.min, profile.max) == ([1, 1, 8], [2, 3136, 8])


@pytest.mark.parametrize("sizes", [(0, 1, 1), (2, 1, 4), (1, 4, 2)])
def test_a_batch_range_out_of_order_is_refused(sizes):
    with pytest.raises(UsageError, match="--batch"):
        Batch(*sizes)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (EngineSettings(()), "needs --target"),
        (EngineSettings(("sm87",)), "sm87.*Jetson Orin.*--engine tensorrt"),
        (EngineSettings(("sm86",), strip=True), "cannot strip weights without a GPU"),
        (EngineSettings(("sm86",), timing_cache=b""), "--timing-cache"),
    ],
)
def test_what_tensorrt_rtx_has_not_is_refused_before_any_work(settings, words):
    with pytest.raises(UsageError, match=words):
        check_settings(trt, RTX, settings, BARE)


def test_stripping_fails_without_a_gpu_as_the_refusal_says():
    """The reason behind the refusal: TensorRT-RTX itself cannot do it here."""
    machine = Machine((Gpu("pretended", "sm86", 1 << 33),), 13000, "", "linux-x86_64")
    with pytest.raises(EngineError, match="CUDA_SUCCESS"):
        build(product(), "sm86", strip=True, machine=machine)


def test_a_graph_that_is_none_gives_the_parser_s_words():
    with pytest.raises(EngineError, match=r"product: TensorRT cannot read the graph: \S+"):
        build(b"no graph at all", "sm86")
    loop = helper.make_node("BitShift", ["x", "x"], ["y"], direction="LEFT")
    with pytest.raises(EngineError, match="BitShift"):
        build(product(nodes=[loop]), "sm86")


def test_onnx_runtime_s_own_operators_are_refused_in_plain_words():
    model = onnx.load_model_from_string(
        product(nodes=[helper.make_node("QuickGelu", ["x"], ["y"], domain="com.microsoft")])
    )
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(EngineError, match="QuickGelu: is not an operator of ONNX"):
        build(model.SerializeToString(), "sm86")


def test_standard_tensorrt_builds_for_the_gpu_it_runs_on(standard):
    built = build(product(), flavor=STANDARD, machine=HOPPER)
    assert len(built.plan) > 64 * 64 * 4 and built.timing_cache is None
    with pytest.raises(UsageError, match="leave it out"):
        build(product(), "sm86", flavor=STANDARD, machine=HOPPER)
    with pytest.raises(EngineError, match="on the target GPU, and none was found"):
        build(product(), flavor=STANDARD)


def test_standard_tensorrt_keeps_its_timings(standard):
    built = build(product(), flavor=STANDARD, machine=HOPPER, timing_cache=b"")
    assert built.timing_cache is not None


def test_standard_tensorrt_that_is_not_there_is_said_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(EngineError, match=r"tensorrt .*pip install"):
        import_flavor(STANDARD)


def test_the_logger_keeps_words_and_drops_what_a_missing_driver_adds():
    logger = collecting_logger(trt)
    logger.log(trt.ILogger.Severity.ERROR, "[checkMacros.cpp::catchCudaError::250] cudaError 35")
    logger.log(trt.ILogger.Severity.VERBOSE, "chatter")
    logger.log(trt.ILogger.Severity.WARNING, "careful")
    logger.log(trt.ILogger.Severity.ERROR, "two\n lines")
    assert logger.messages == [("WARNING", "careful"), ("ERROR", "two lines")]
    assert logger.errors() == "two lines"


def quantized(kind, zero=None):
    """x and w through QuantizeLinear and DequantizeLinear of a type, then the product."""
    scale = numpy_helper.from_array(np.float32(0.05), "scale")
    point = helper.make_tensor("zero", kind, [], [zero or 0])
    nodes = []
    for name in "xw":
        nodes.append(helper.make_node("QuantizeLinear", [name, "scale", "zero"], [f"{name}_q"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", "scale", "zero"], [f"{name}_d"]))
    nodes.append(helper.make_node("MatMul", ["x_d", "w_d"], ["y"]))
    return product(nodes=nodes, weights=(scale, point))


def dynamically_quantized():
    """What ONNX Runtime runs fast on the CPU: the scale of x is found at run time."""
    weight = helper.make_tensor("w_q", TensorProto.INT8, [64, 64], [1] * 64 * 64)
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["x_q", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["x_q", "w_q", "zero"], ["product"]),
        helper.make_node("Cast", ["product"], ["y"], to=TensorProto.FLOAT),
    ]
    return product(nodes=nodes, weights=(weight,))


def test_precisions_that_build():
    build(product("bfloat16"), "sm80", "sm86", "sm89", "sm120")
    build(quantized(TensorProto.INT8), "sm80", "sm86", "sm89", "sm120")
    build(quantized(TensorProto.FLOAT8E4M3FN), "sm89", "sm120")


@pytest.mark.parametrize(
    ("model", "target", "words"),
    [
        (product("bfloat16"), "sm75", "b16"),
        (quantized(TensorProto.INT8, zero=3), "sm86", "(?i)zero point"),
        (dynamically_quantized(), "sm86", "DynamicQuantizeLinear"),
        (quantized(TensorProto.FLOAT8E4M3FN), "sm86", "fp8"),
    ],
    ids=["bf16 on Turing", "int8 with a zero point", "dynamic int8", "fp8 before Ada"],
)
def test_precisions_that_do_not_build_say_why(model, target, words):
    with pytest.raises(EngineError, match=words):
        build(model, target)


def test_networks_describe_their_free_axes_as_profiles_take_them():
    """The names that profiles know are those the exporter gives."""
    entry = describe_network(product(), "n.onnx", "a")
    assert network_profiles(entry, Batch(1, 1, 1))["x"].max == [1, 5, 64]
    assert onnx.load_model_from_string(product()).graph.input[0].name == "x"
