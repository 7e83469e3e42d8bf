"""Serialized engines: what is decided before the GPU is touched, and how a runner is used. No GPU is needed here."""

import gc
import subprocess
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
from cmdiad.runtime.bundle.manifest import Profile
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.engines.flavor import FLAVORS, flavor_of
from cmdiad.runtime.engines.machine import Gpu, Machine, platform_name
from cmdiad.runtime.engines.opening import open_session
from cmdiad.runtime.engines.plan import EngineSession, _context, _refit, import_polygraphy, open_tensorrt_engine, within
from cmdiad.runtime.errors import EngineError, UsageError
from cmdiad.runtime.line_graph import prefers_line_graph

# Not imported here: it binds itself to a flavor when it is.
needs_polygraphy = pytest.mark.skipif(find_spec("polygraphy") is None, reason="polygraphy is not installed")


class FakeRunner:
    """TrtRunner's life cycle; like it, it gives out the same buffer every time."""

    def __init__(self):
        self.calls, self.buffer = [], np.zeros((2, 3), np.float32)

    def activate(self):
        self.calls.append("activate")

    def deactivate(self):
        self.calls.append("deactivate")

    def infer(self, feed):
        assert all(array.flags["C_CONTIGUOUS"] for array in feed.values())
        if np.isnan(feed["x"]).any():
            raise RuntimeError("cudaError 700\n somewhere")
        self.buffer[:] = 2 * feed["x"]
        return {"y": self.buffer}


@pytest.fixture
def runner():
    profile = Profile(min=[1, 3], opt=[2, 3], max=[4, 3])
    fake = FakeRunner()
    return fake, EngineSession(fake, SimpleNamespace(file="engines/e.engine", profiles={"x": profile}))


def test_results_are_the_caller_s_own(runner):
    _, session = runner
    ones = np.ones((3, 2), np.float32).T
    first = session.run({"x": ones})["y"]
    session.run({"x": 5 * ones})
    np.testing.assert_array_equal(first, 2 * ones)


def test_a_runner_is_deactivated_with_its_session():
    fake = FakeRunner()
    session = EngineSession(fake, SimpleNamespace(file="e", profiles={}))
    del session
    gc.collect()
    assert fake.calls == ["activate", "deactivate"]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"z": np.ones((2, 3), np.float32)}, r"takes \['x'\], got \['z'\]"),
        ({"x": np.ones((5, 3), np.float32)}, r"\[1, 3\] to \[4, 3\], got \[5, 3\].*--batch"),
        ({"x": np.full((2, 3), np.nan, np.float32)}, "cudaError 700 somewhere"),
    ],
)
def test_what_cannot_run_is_said_in_one_line(runner, inputs, words):
    with pytest.raises(EngineError, match=words) as refusal:
        runner[1].run(inputs)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("shape", "fits"), [((1, 3), True), ((4, 3), True), ((0, 3), False), ((4, 2), False), ((4,), False)]
)
def test_shapes_are_held_against_the_profile(shape, fits):
    assert within(Profile(min=[1, 3], opt=[2, 3], max=[4, 3]), shape) == fits


def test_contexts_capture_cuda_graphs_where_the_flavor_can():
    made = []
    config = SimpleNamespace(cuda_graph_strategy=None)
    engine = SimpleNamespace(
        create_execution_context=lambda *arguments: made.append(arguments) or "context",
        create_runtime_config=lambda: config,
    )
    rtx = SimpleNamespace(CudaGraphStrategy=SimpleNamespace(WHOLE_GRAPH_CAPTURE="whole"))
    assert _context(rtx, engine, True) == "context"
    assert made == [(config,)] and config.cuda_graph_strategy == "whole"
    with pytest.raises(EngineError, match="--cuda-graph"):
        _context(SimpleNamespace(), engine, True)
    engine.create_execution_context = lambda: None
    with pytest.raises(EngineError, match="memory"):
        _context(rtx, engine, False)


@pytest.mark.parametrize(("parsed", "refitted"), [(True, True), (False, True), (True, False)])
def test_a_stripped_engine_gets_its_weights_or_is_refused(parsed, refitted):
    seen = []
    trt = SimpleNamespace(
        Refitter=lambda engine, logger: SimpleNamespace(refit_cuda_engine=lambda: refitted),
        OnnxParserRefitter=lambda refitter, logger: SimpleNamespace(
            refit_from_bytes=lambda graph: seen.append(graph) or parsed
        ),
    )
    logger = SimpleNamespace(errors=lambda: "missing weights")
    if parsed and refitted:
        _refit(trt, "engine", b"graph", "e.engine", logger)
    else:
        with pytest.raises(EngineError, match=r"e\.engine: its weights cannot be put back: missing weights"):
            _refit(trt, "engine", b"graph", "e.engine", logger)
    assert seen == [b"graph"]


def test_an_unknown_flavor_is_refused():
    with pytest.raises(UsageError, match="tensorrt, tensorrt-rtx"):
        flavor_of("openvino")


@needs_polygraphy
def test_polygraphy_is_bound_to_one_flavor_a_process():
    code = (
        "from cmdiad.runtime.engines.flavor import FLAVORS\n"
        "from cmdiad.runtime.engines.plan import import_polygraphy\n"
        "from cmdiad.runtime.errors import EngineError\n"
        "print(import_polygraphy(FLAVORS['tensorrt-rtx']).TrtRunner.__name__)\n"
        "print(import_polygraphy(FLAVORS['tensorrt-rtx']).TrtRunner.__name__)\n"
        "try: import_polygraphy(FLAVORS['tensorrt'])\n"
        "except EngineError as error: print(error)\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = answer.stdout.splitlines()
    assert lines[:2] == ["TrtRunner", "TrtRunner"] and "one process" in lines[2]


def test_without_polygraphy_it_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"Polygraphy.*pip install"):
        import_polygraphy(FLAVORS["tensorrt-rtx"])


@pytest.fixture(scope="module")
def with_engine(bundle_with_engines):
    """A bundle with TensorRT-RTX engines for sm86."""
    return open_bundle(bundle_with_engines)


def pretended(target):
    return Machine((Gpu("pretended", target, 1 << 33),), 13000, "580.65", platform_name())


@pytest.mark.slow
def test_without_a_gpu_the_engine_is_refused_before_it_is_read(with_engine):
    with pytest.raises(EngineError, match="no NVIDIA GPU") as refusal:
        open_session(with_engine, "extractor", "tensorrt-rtx-engine")
    assert refusal.value.exit_code == 5


@pytest.mark.slow
def test_an_engine_of_another_gpu_is_refused_with_the_command(with_engine):
    with pytest.raises(EngineError, match=r"for sm89 \(there: sm86\).*--engine tensorrt-rtx --target sm89"):
        open_tensorrt_engine(with_engine, "extractor", "tensorrt-rtx", machine=pretended("sm89"))


@pytest.mark.slow
def test_the_line_graph_runs_unasked_where_its_engine_fits(with_engine, monkeypatch):
    monkeypatch.setattr("cmdiad.runtime.line_graph.this_machine", lambda: pretended("sm86"))
    assert prefers_line_graph(with_engine, "tensorrt-rtx-engine")
    assert not prefers_line_graph(with_engine, "tensorrt-engine")
    monkeypatch.setattr("cmdiad.runtime.line_graph.this_machine", lambda: pretended("sm89"))
    assert not prefers_line_graph(with_engine, "tensorrt-rtx-engine")


@needs_polygraphy
@pytest.mark.slow
def test_everything_up_to_the_driver_is_passed_by_the_right_engine(with_engine):
    """With a pretended GPU our own checks pass, and TensorRT-RTX itself says that there is none."""
    with pytest.raises(EngineError, match=r"TensorRT-RTX says that it cannot run here.*--target sm86"):
        open_tensorrt_engine(with_engine, "hallucinator", "tensorrt-rtx", machine=pretended("sm86"))
