"""The bundle under test: its inputs, its smaller banks, its quality; and LoadGen on the same system."""

import shutil

import msgspec
import numpy as np
import pytest
from cmdiad.calibration.calibrate import CalibrationSettings
from cmdiad.calibration.calibrated_bundle import calibrate_bundle
from cmdiad.runtime.acceptance.golden import read_case, read_golden
from cmdiad.runtime.banks import bank as bank_module
from cmdiad.runtime.bench.measuring.configuration import Configuration
from cmdiad.runtime.bench.measuring.driver import WallClock, drive
from cmdiad.runtime.bench.measuring.inputs import bench_scans
from cmdiad.runtime.bench.measuring.loadgen import MODULE, run_loadgen
from cmdiad.runtime.bench.measuring.quality import measure_quality
from cmdiad.runtime.bench.measuring.reduced_banks import write_reduced
from cmdiad.runtime.bench.measuring.scenarios import Plan, Scenario
from cmdiad.runtime.bench.measuring.system import BundleUnderTest, open_inspector, timing_conditions
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.bundle.scan_geometry import ScanGeometry
from cmdiad.runtime.bundle.writing import rewrite_bundle
from cmdiad.runtime.errors import EngineError, ScanError, UsageError
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.patches.routes import MAIN
from cmdiad.runtime.sensor.find import find_scans
from cmdiad.runtime.sensor.part import read_part
from cmdiad.runtime.sensor.scan import read_scan
from cmdiad.runtime.verdict.decision import load_bank


@pytest.fixture(scope="module")
def bundle(calibrated_bundle):
    return open_bundle(calibrated_bundle)


def test_golden_scans_are_the_input_unless_others_are_given(bundle, synth_data, tmp_path):
    golden = bench_scans([], bundle, tmp_path)
    assert golden and all(read_scan(scan).points.any() for scan in golden)
    given_scans = bench_scans([str(synth_data / "gland" / "test")], bundle, tmp_path)
    assert len(given_scans) == 7


def test_golden_scans_are_measured_in_metres_whatever_the_sensor_s_unit_and_axes(bundle, tmp_path):
    """They are recorded in metres; read as millimetres, a part of 60 mm would be one of 60 micrometres."""
    turned = ScanGeometry(axes="-z,x,y")
    preprocessing = msgspec.structs.replace(bundle.manifest.preprocessing, metres_per_unit=0.001, geometry=turned)
    manifest = msgspec.structs.replace(bundle.manifest, preprocessing=preprocessing)
    rewrite_bundle(bundle, tmp_path / "b", manifest, {})
    in_millimetres = open_bundle(tmp_path / "b")
    golden = read_golden(bundle)
    for case, scan in zip(
        sorted(golden.cases, key=lambda case: case.name), bench_scans([], in_millimetres, tmp_path), strict=True
    ):
        assert scan.stem == case.name
        recorded = read_case(bundle, case).points
        np.testing.assert_allclose(read_part(scan, {"pc"}, preprocessing).points, recorded, rtol=3e-7)
        assert Inspector(in_millimetres)(scan).score == pytest.approx(case.score, rel=1e-3)


def test_scans_given_are_what_the_route_looks_at(bundle, synth_data, tmp_path):
    from types import SimpleNamespace

    folder = synth_data / "gland" / "test" / "good"
    for route, main, kind in (("single", "rgb", "rgb"), ("dual", "rgb", "xyz"), ("single", "pc", "xyz")):
        manifest = msgspec.structs.replace(bundle.manifest, route=route, main=main)
        found = bench_scans([str(folder)], SimpleNamespace(manifest=manifest), tmp_path)
        assert [file.parent.name for file in found] == [kind, kind]
    with pytest.raises(ScanError, match="no file matches"):
        bench_scans([str(folder), str(folder / "*.nothing")], bundle, tmp_path)


def test_without_any_scan_there_is_nothing_to_measure(exported_bundle, tmp_path):
    with pytest.raises(UsageError, match="--scans"):
        bench_scans([], open_bundle(exported_bundle), tmp_path)


def test_a_reduced_bank_is_the_one_that_calibration_makes_with_that_ratio(
    bundle, exported_bundle, synth_data, tmp_path
):
    ratio = 0.005
    write_reduced(bundle, ratio, tmp_path / "reduced")
    scans = find_scans([synth_data / "gland" / "train" / "good"])
    settings = CalibrationSettings(coreset_ratio=ratio, seed=5)
    calibrate_bundle(open_bundle(exported_bundle), scans, settings, tmp_path / "made", with_line_graph=False)
    reduced, made = open_bundle(tmp_path / "reduced"), open_bundle(tmp_path / "made")
    for role in made.manifest.banks:
        one, other = load_bank(reduced, role).bank, load_bank(made, role).bank
        np.testing.assert_allclose(one.rows + one.mean, other.rows + other.mean, atol=1e-5)
        np.testing.assert_array_equal(one.neighbors, other.neighbors)
    assert reduced.manifest.calibration.coreset_ratio == ratio


def test_a_reduced_bank_too_small_for_a_screen_has_none(
    exported_bundle, calibrated_bundle, synth_data, tmp_path, monkeypatch
):
    scans = find_scans([synth_data / "gland" / "train" / "good"])
    largest = max(bank.n_rows for bank in open_bundle(calibrated_bundle).manifest.banks.values())
    monkeypatch.setattr(bank_module, "MIN_SCREENED_ROWS", largest)
    settings = CalibrationSettings(coreset_ratio=0.02, seed=5)
    calibrate_bundle(open_bundle(exported_bundle), scans, settings, tmp_path / "whole", with_line_graph=False)
    write_reduced(open_bundle(tmp_path / "whole"), 0.005, tmp_path / "reduced")
    whole, reduced = (open_bundle(tmp_path / name) for name in ("whole", "reduced"))
    assert load_bank(whole, MAIN).bank.cells is not None
    assert load_bank(reduced, MAIN).bank.cells is None
    assert not [name for name in reduced.manifest.files if "cells" in name]
    assert Inspector(reduced)(scans[0]).score > 0


def test_a_bank_cannot_grow(bundle, tmp_path):
    with pytest.raises(UsageError, match="--coreset-ratio"):
        write_reduced(bundle, 0.5, tmp_path / "larger")


def test_the_stages_account_for_an_inspection(calibrated_bundle, synth_data):
    system = BundleUnderTest(Inspector.load(calibrated_bundle), find_scans([synth_data / "gland" / "test" / "good"]))
    one, both = system.process([0]), system.process([0, 1])
    assert one.keys() == both.keys() >= {"read", "preprocess", "group", "extract", "hallucinate", "search", "score"}


@pytest.mark.parametrize(("written", "n_files"), [("all", 4), ("none", 0), ("defects", 2)])
def test_writing_is_timed_as_infer_writes(calibrated_bundle, synth_data, tmp_path, written, n_files):
    """One of two parts is a defect here."""
    scans = find_scans([synth_data / "gland" / "test" / "good"])
    low, high = sorted(Inspector.load(calibrated_bundle)(scan).score for scan in scans)
    inspector = Inspector.load(calibrated_bundle, threshold=(low + high) / 2)
    parts = list(BundleUnderTest(inspector, scans, tmp_path, written).stream(range(2)))
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) == n_files and sum("write" in stages for stages in parts) == n_files // 2


def test_what_was_timed_is_said():
    said = {
        written: timing_conditions(Configuration(bundle="", precision="fp32", heatmaps=written))["measured"]
        for written in ("all", "defects", "none")
    }
    assert len(set(said.values())) == 3 and "not written" in said["none"] and "on disk" in said["all"]


def test_what_cannot_be_had_is_an_error_with_its_reason(calibrated_bundle):
    with pytest.raises(EngineError, match="batch 4"):
        open_inspector(Configuration(bundle="", precision="fp32", batch=4), open_bundle(calibrated_bundle))


def test_transfers_graphs_and_spinning_are_always_stated():
    for provider in ("cpu", "cuda"):
        conditions = timing_conditions(Configuration(bundle="", precision="fp32", provider=provider))
        assert {"transfers", "cuda_graphs", "spin_waiting", "synchronization"} <= conditions.keys()


def test_quality_counts_good_and_defective(calibrated_bundle, synth_data):
    reported = []
    quality = measure_quality(
        Inspector.load(calibrated_bundle), synth_data / "gland", lambda *news: reported.append(news)
    )
    assert quality.n_good == 2 and quality.n_defective == 5 and 0 <= quality.i_auroc <= 1
    assert reported[-1] == ("quality", 7, 7, "")


def test_quality_needs_both_kinds_and_says_so_before_it_inspects(synth_data, tmp_path):
    shutil.copytree(synth_data / "gland" / "train", tmp_path / "gland" / "train")
    shutil.copytree(synth_data / "gland" / "test" / "good", tmp_path / "gland" / "test" / "good")
    with pytest.raises(UsageError, match="needs good and defective parts"):
        measure_quality(None, tmp_path / "gland", lambda *_: None)


class Sleeper:
    """A system whose parts take two milliseconds."""

    n_scans, batch = 4, 1

    def __init__(self, clock):
        self.clock, self.seen = clock, []

    def process(self, numbers):
        self.seen += numbers
        self.clock.wait_until(self.clock.now() + 0.002 * len(numbers))
        return {"extract": 0.002 * len(numbers)}

    def stream(self, numbers):
        return (self.process([number]) for number in numbers)


@pytest.mark.parametrize("name", ["single-stream", "multi-stream", "server", "offline"])
def test_loadgen_drives_the_same_system_and_its_logs_are_kept(tmp_path, name):
    pytest.importorskip(MODULE, reason="LoadGen is not installed (extra `bench`)")
    import threading

    stop = threading.Event()
    clock = WallClock(stop)
    system = Sleeper(clock)
    rate = 100.0 if name == "server" else None
    scenario = Scenario(name=name, parts_a_query=2 if name == "multi-stream" else 1, rate_hz=rate)
    plan = Plan(seconds=0.0, samples=20)
    found = run_loadgen(system, scenario, plan, 0.002, tmp_path / name)
    ours = drive(system, scenario, plan, clock, stop)
    assert (tmp_path / name / "mlperf_log_summary.txt").is_file() and found.logs == name
    assert set(system.seen) <= set(range(4)) and len(system.seen) >= 40
    assert (found.p50_s is None) == (name == "offline") and (found.throughput_hz is None) == (name[-6:] == "stream")
    # No bound on time: both saw parts that take at least as long as they sleep.
    assert min(ours.latencies) >= 0.002 and (found.p50_s or 1) >= 0.002


def test_without_loadgen_the_error_names_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"cmdiad\[bench\]"):
        run_loadgen(None, Scenario(name="offline"), Plan(seconds=0, samples=1), 0.1, tmp_path)
