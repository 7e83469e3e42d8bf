"""A part lives on the device from its points to its score, and the answer is that of the host's way."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from types import SimpleNamespace

import numpy as np
import pytest
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.engines.device_session import DeviceSession
from cmdiad.runtime.engines.onnxruntime_import import import_onnxruntime
from cmdiad.runtime.engines.opening import Recorder
from cmdiad.runtime.engines.session import OnnxSession
from cmdiad.runtime.errors import EngineError, ScanError
from cmdiad.runtime.line.device_feed import DeviceFeed
from cmdiad.runtime.line_graph import LINE, LineGraph
from cmdiad.runtime.patches.routes import modalities, route_of
from cmdiad.runtime.preparation.prepared_part import prepare_file
from cmdiad.runtime.timing import StageTimes
from cmdiad.runtime.verdict.decision import Decision
from cmdiad.tests.runtime.engines.cuda_on_cpu.device import CudaOnCpu, needs_compiler

pytestmark = needs_compiler
onnxruntime = import_onnxruntime()


@pytest.fixture(scope="module")
def bundle(calibrated_bundle):
    return open_bundle(calibrated_bundle)


@pytest.fixture(scope="module")
def parts(bundle, synth_data):
    scans = [synth_data / "gland" / "test" / kind / "xyz" / "000.tiff" for kind in ("crack", "good")]
    prepared = (prepare_file(scan, modalities(bundle.manifest), bundle.manifest.preprocessing) for scan in scans)
    # A corner of each: kernels that run on the processor take their time.
    return [corner(part, size) for part, size in zip(prepared, (32, 40), strict=True)]


def corner(part, size):
    """The first rows and columns of a prepared part that show something, and nothing else."""
    rows, columns = (np.flatnonzero(part.valid.any(axis=axis))[0] for axis in (1, 0))
    window = np.zeros_like(part.valid)
    window[rows : rows + size, columns : columns + size] = True
    valid = part.scan.valid & window
    return replace(part, scan=replace(part.scan, valid=valid), valid=valid)


@pytest.fixture(scope="module")
def onnx_session(bundle):
    return onnxruntime.InferenceSession(bundle.read(LINE), providers=["CPUExecutionProvider"])


class RunOptions:
    """What a run was asked for."""

    def __init__(self):
        self.entries = {}

    def add_run_config_entry(self, key, value):
        self.entries[key] = value


class QueuedSession:
    """A session that is queued on the device's stream, as one that was opened on it; it notes the CUDA graphs."""

    def __init__(self, session, device):
        self._session, self._device, self.graphs = session, device, []

    def io_binding(self):
        return self._session.io_binding()

    def run_with_iobinding(self, binding, options):
        self.graphs.append(options.entries.get("gpu_graph_id"))
        assert options.entries["disable_synchronize_execution_providers"] == "1"
        self._device.log.append(("run", None))
        plain = onnxruntime.RunOptions()
        self._device._queue.append(lambda: self._session.run_with_iobinding(binding, plain))


def line_on(device, bundle, session, shares_stream=True, cuda_graph=True):
    manifest = bundle.manifest
    ort = SimpleNamespace(RunOptions=RunOptions) if shares_stream else onnxruntime
    on_device = DeviceSession(ort, session, device, shares_stream, cuda_graph)
    feed = DeviceFeed(manifest.line_graph, manifest.grouping, on_device, device)
    return LineGraph(route_of(manifest.route, manifest.main), feed, Decision.load(bundle))


def on_host(bundle):
    return LineGraph.on_host(bundle.manifest, OnnxSession(bundle.read(LINE)), Decision.load(bundle))


def same(actual, expected):
    assert actual.score == pytest.approx(expected.score, rel=1e-5)
    np.testing.assert_allclose(actual.map, expected.map, atol=1e-5 * expected.map.max())


@pytest.mark.parametrize("shares_stream", [True, False])
def test_a_batch_gets_the_answers_that_its_parts_get_alone_on_the_host(
    bundle, parts, onnx_session, kernel_libraries, shares_stream
):
    device = CudaOnCpu(kernel_libraries)
    session = QueuedSession(onnx_session, device) if shares_stream else onnx_session
    line, host = line_on(device, bundle, session, shares_stream, cuda_graph=False), on_host(bundle)
    answers = line.run_batch([line.ready(part, StageTimes()) for part in parts], StageTimes())
    for answer, part in zip(answers, parts, strict=True):
        same(answer, host.run(part, StageTimes()))


def test_what_goes_up_and_down_for_a_part_and_in_which_order(bundle, parts, onnx_session, kernel_libraries):
    device = CudaOnCpu(kernel_libraries)
    line = line_on(device, bundle, QueuedSession(onnx_session, device))
    first = line.run(parts[0], StageTimes())
    device.log.clear()
    second = line.run(parts[0], StageTimes())
    assert (first.score, first.searched_again) == (second.score, second.searched_again)
    kinds = [what for what, _ in device.log if what != "synchronize"]
    launches = [detail for what, detail in device.log if what == "launch"]
    assert kinds == [*["upload"] * (kinds.index("launch")), *["launch"] * 4, "run", *["download"] * 4]
    assert launches[0].startswith("farthest") and len(set(launches)) == 4
    # Nothing is waited for between the first copy up and the answers, but staging that is written again.
    order = [what for what, _ in device.log]
    assert "synchronize" not in order[order.index("launch") : order.index("run")] and order[-1] == "synchronize"
    up, down = (sum(size for what, size in device.log if what == kind) for kind in ("upload", "download"))
    n_points = int(parts[0].scan.valid.sum())
    assert up < 16 * n_points + 8 * 3136 + 4096, "points and pixels, places and patches"
    assert down < 4 * (224 * 224 + 2 * 3136 + 1), "score, map and the marks of two banks"


def test_memory_is_allocated_once_for_every_size(bundle, parts, onnx_session, kernel_libraries):
    device = CudaOnCpu(kernel_libraries)
    line = line_on(device, bundle, QueuedSession(onnx_session, device))
    ready = [line.ready(part, StageTimes()) for part in parts]
    for batch in (ready, ready[:1]):
        line.run_batch(batch, StageTimes())
    device.log.clear()
    for batch in (ready[:1], ready, ready[:1]):
        line.run_batch(batch, StageTimes())
    assert not [call for call in device.log if call[0] in ("allocate", "pinned")]


def test_each_size_has_a_cuda_graph_that_is_captured_after_its_first_run(bundle, parts, onnx_session, kernel_libraries):
    device = CudaOnCpu(kernel_libraries)
    session = QueuedSession(onnx_session, device)
    line = line_on(device, bundle, session)
    ready = [line.ready(part, StageTimes()) for part in parts]
    for batch in (ready, ready, ready[:1], ready, ready[:1], ready[:1]):
        line.run_batch(batch, StageTimes())
    both, alone = session.graphs[1], session.graphs[4]
    assert session.graphs == ["-1", both, "-1", both, alone, alone] and len({both, alone, "-1"}) == 3


def test_an_observer_sees_what_stays_on_the_device(bundle, parts, onnx_session, kernel_libraries):
    device, recorder = CudaOnCpu(kernel_libraries), Recorder()
    line, host = line_on(device, bundle, QueuedSession(onnx_session, device)), on_host(bundle)
    with line.observed(recorder):
        line.run(parts[0], StageTimes())
    expected = Recorder()
    with host.observed(expected):
        host.run(parts[0], StageTimes())
    assert recorder.tensors.keys() == expected.tensors.keys()
    np.testing.assert_array_equal(recorder.tensors["line.groups"], expected.tensors["line.groups"])
    np.testing.assert_allclose(recorder.tensors["line.pooling"], expected.tensors["line.pooling"], atol=1e-6)
    np.testing.assert_array_equal(recorder.tensors["line.index_main"], expected.tensors["line.index_main"])


@pytest.mark.parametrize(
    ("fails", "says"),
    [
        (("allocate", 3, EngineError("memory is full: choose a smaller batch")), "smaller batch"),
        (("pinned", 2, EngineError("cannot lock")), "cannot lock"),
        (("launch", 2, EngineError("refused: nearest")), "refused"),
        (("download", 1, EngineError("the GPU is lost")), "is lost"),
        (("synchronize", 2, EngineError("the GPU is lost")), "is lost"),
    ],
    ids=["memory", "host memory", "kernel", "copy", "stream"],
)
def test_what_fails_on_the_device_is_an_engine_error(bundle, parts, onnx_session, kernel_libraries, fails, says):
    device = CudaOnCpu(kernel_libraries, fails=fails)
    line = line_on(device, bundle, QueuedSession(onnx_session, device))
    with pytest.raises(EngineError, match=says):
        line.run(parts[0], StageTimes())


def test_after_memory_was_full_smaller_batches_go_on(bundle, parts, onnx_session, kernel_libraries):
    device = CudaOnCpu(kernel_libraries)
    line = line_on(device, bundle, QueuedSession(onnx_session, device))
    ready = [line.ready(part, StageTimes()) for part in parts]
    line.run_batch(ready[:1], StageTimes())
    device._fails = ("allocate", device._calls["allocate"] + 1, EngineError("memory is full"))
    with pytest.raises(EngineError, match="full"):
        line.run_batch(ready, StageTimes())
    same(line.run_batch(ready[:1], StageTimes())[0], on_host(bundle).run(parts[0], StageTimes()))


def test_a_session_that_refuses_says_what_to_do(bundle, parts, kernel_libraries):
    class Refusing:
        def io_binding(self):
            raise RuntimeError("CUDA failure 2:\nout of memory")

    line = line_on(CudaOnCpu(kernel_libraries), bundle, Refusing())
    with pytest.raises(EngineError, match=r"out of memory: choose a smaller --batch"):
        line.run(parts[0], StageTimes())


def test_too_few_points_are_said_before_anything_is_copied(bundle, parts, onnx_session, kernel_libraries):
    device = CudaOnCpu(kernel_libraries)
    line = line_on(device, bundle, QueuedSession(onnx_session, device))
    scan = parts[0].scan
    few = np.zeros_like(scan.valid)
    few.ravel()[np.flatnonzero(scan.valid)[:3]] = True
    with pytest.raises(ScanError, match="only 3 valid points"):
        line.ready(replace(parts[0], scan=replace(scan, valid=few)), StageTimes())
    assert device.log == []


def test_two_inspectors_on_one_device_do_not_come_between_each_other(bundle, parts, onnx_session, kernel_libraries):
    """A new bundle is tried while the one before inspects: a CUDA graph that is captured bears no call of another."""
    device = CudaOnCpu(kernel_libraries)
    lines = [line_on(device, bundle, QueuedSession(onnx_session, device)) for _ in range(2)]
    expected = [line.run(part, StageTimes()) for line, part in zip(lines, parts, strict=True)]
    callers, upload, synchronize = [], device.upload, device.synchronize

    def noted(name, call):
        def run(*arguments):
            callers.append((name, threading.get_ident()))
            return call(*arguments)

        return run

    device.upload, device.synchronize = noted("upload", upload), noted("synchronize", synchronize)
    with ThreadPoolExecutor(2) as pool:
        work = [(line, part) for _ in range(3) for line, part in zip(lines, parts, strict=True)]
        answers = list(pool.map(lambda pair: pair[0].run(pair[1], StageTimes()), work))
    for number, answer in enumerate(answers):
        assert answer.score == expected[number % 2].score
    runs = [[name for name, _ in run] for _, run in groupby(callers, key=itemgetter(1))]
    assert all(run[0] == "upload" and run[-1] == "synchronize" for run in runs)
