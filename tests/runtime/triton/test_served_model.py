"""A version that passes its self-test answers batches; one that does not never opens."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from cmdiad.benchmarks.shared.changed_bundles import write_changed
from cmdiad.runtime.errors import BundleError, CmdiadError, EngineError, NotFiniteError, ParityError, UsageError
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.sensor.find import find_scans
from cmdiad.runtime.triton.served_model import ServedModel, ServedSettings

ONE_THREAD = ServedSettings(threads=1)


def file_request(content: bytes, name: str = "part.tiff") -> dict[str, np.ndarray]:
    return {"FILE": np.array([[content]], np.object_), "FILE_NAME": np.array([[name.encode()]], np.object_)}


@pytest.fixture(scope="module")
def version(calibrated_bundle, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "1"
    shutil.copytree(calibrated_bundle, folder / "bundle")
    return folder


@pytest.fixture(scope="module")
def model(version):
    served = ServedModel.open(version, ONE_THREAD)
    yield served
    served.close()


@pytest.fixture(scope="module")
def scans(synth_data) -> list[Path]:
    return find_scans([synth_data / "gland" / "test"])[:2]


def test_a_batch_is_answered_in_order_and_a_bad_request_spoils_no_other(model, scans, calibrated_bundle):
    requests = [file_request(scans[0].read_bytes()), file_request(b"junk", "bad.tiff"), {}]
    good, bad, empty = model.answer(requests)
    assert isinstance(bad, CmdiadError) and str(bad).startswith("bad.tiff: ") and "\n" not in str(bad)
    assert isinstance(empty, UsageError)
    with Inspector.load(calibrated_bundle, threads=1) as inspector:
        expected = inspector(scans[0])
    assert good["SCORE"].shape == (1, 1) and good["SCORE"][0, 0] == expected.score
    assert good["THRESHOLD"][0, 0] == expected.threshold and good["IS_DEFECT"][0, 0] == expected.is_defect
    assert np.array_equal(good["MAP"][0], expected.map)
    result = json.loads(good["RESULT"][0, 0])
    assert result["scan"] == "part.tiff" and result["bundle"] == model.inspector.bundle.manifest.digest
    assert len(result["regions"]) == len(expected.regions)


def test_numbers_give_what_their_file_gives_and_name_the_part(model, scans):
    from cmdiad.runtime.sensor.scan import read_scan

    points = read_scan(scans[1]).points[None]
    part_id = np.array([[b"A17"]], np.object_)
    numbers, file = model.answer([{"SCAN": points, "PART_ID": part_id}, file_request(scans[1].read_bytes())])
    assert numbers["SCORE"] == file["SCORE"] and np.array_equal(numbers["MAP"], file["MAP"])
    assert json.loads(numbers["RESULT"][0, 0])["part_id"] == "A17"


def test_scans_of_a_batch_that_fails_go_one_by_one(model, scans, monkeypatch):
    finish_batch = Inspector.finish_batch

    def alone(self, ready):
        if len(ready) > 1:
            raise EngineError("too little memory for a batch")
        return finish_batch(self, ready)

    monkeypatch.setattr(Inspector, "finish_batch", alone)
    answers = model.answer([file_request(scan.read_bytes()) for scan in scans])
    assert all("SCORE" in answer for answer in answers)


def test_what_is_not_finite_is_an_error_of_its_request(model, scans, monkeypatch):
    def fails(self, ready):
        raise NotFiniteError("the networks return a score of nan")

    monkeypatch.setattr(Inspector, "finish_batch", fails)
    (answer,) = model.answer([file_request(scans[0].read_bytes())])
    assert isinstance(answer, NotFiniteError) and str(answer).startswith("part.tiff: the networks")


def test_a_version_that_fails_its_self_test_does_not_open(calibrated_bundle, tmp_path):
    write_changed(calibrated_bundle, tmp_path / "1" / "bundle", "fails", golden_score_added=1.0)
    with pytest.raises(ParityError, match=r"fails its self-test on this machine at \d of \d+ stages, first score"):
        ServedModel.open(tmp_path / "1", ONE_THREAD)


def test_a_changed_byte_a_missing_bundle_and_a_missing_signature_are_refused(version, tmp_path, monkeypatch):
    with pytest.raises(BundleError, match="holds neither bundle nor"):
        ServedModel.open(tmp_path, ONE_THREAD)
    shutil.copytree(version, tmp_path / "2")
    with (tmp_path / "2" / "bundle" / "fusion.json").open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(BundleError, match=r"fusion\.json"):
        ServedModel.open(tmp_path / "2", ONE_THREAD)
    from cmdiad.runtime.bundle.signature import TrustedKeys

    monkeypatch.setattr("cmdiad.runtime.triton.served_model.find_trusted", lambda: TrustedKeys(()))
    with pytest.raises(BundleError, match="is not signed"):
        ServedModel.open(version, ONE_THREAD)


def test_settings_come_from_the_parameters_and_nonsense_is_refused():
    settings = ServedSettings.of({"provider": "cuda", "threads": "3", "graph": "line", "max_request_mb": "10"}, 4, 2)
    assert settings == ServedSettings("cuda", "line", 3, 10.0, 4, 2) and settings.own_threads == 3
    assert ServedSettings.of({}, 0, 10_000).own_threads == 1
    for parameters in ({"threads": "0"}, {"threads": "many"}, {"max_request_mb": "nan"}, {"graph": "fast"}):
        with pytest.raises(UsageError, match=r"config\.pbtxt"):
            ServedSettings.of(parameters)
