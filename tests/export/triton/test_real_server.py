"""A repository on a real Triton server; needs $CMDIAD_TRITON, see benchmarks/shared/triton_server.py."""

import json
import os
import shutil
import signal

import numpy as np
import pytest
from cmdiad.benchmarks.shared.changed_bundles import write_changed
from cmdiad.benchmarks.shared.triton_server import client_module, environment, site_folders, triton_server
from cmdiad.export.triton.pbtxt import TritonOptions
from cmdiad.export.triton.repository import write_repository
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.sensor.find import find_scans
from cmdiad.runtime.sensor.scan import read_scan

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(environment() is None, reason="$CMDIAD_TRITON names no environment with nvidia-pytriton"),
    # The clients' own libraries.
    pytest.mark.filterwarnings("ignore"),
]


def asked(server, kind, name, values, type_name):
    module = client_module(kind)
    client = module.InferenceServerClient(f"127.0.0.1:{getattr(server, kind)}")
    tensor = module.InferInput(name, list(values.shape), type_name)
    tensor.set_data_from_numpy(values)
    answer = client.infer("gland", [tensor])
    version = answer.get_response()
    version = version["model_version"] if isinstance(version, dict) else version.model_version
    outputs = {output: answer.as_numpy(output) for output in ("SCORE", "IS_DEFECT", "MAP", "RESULT")}
    client.close()
    return version, outputs


def test_a_server_answers_swaps_refuses_and_is_brought_back(calibrated_bundle, synth_data, tmp_path):
    scan = find_scans([synth_data / "gland" / "test"])[0]
    with Inspector.load(calibrated_bundle) as inspector:
        expected = inspector(scan)
    repository, options = tmp_path / "models", TritonOptions(site=site_folders())
    write_repository(repository, [calibrated_bundle], options)
    points, file = read_scan(scan).points[None], np.array([[scan.read_bytes()]], np.object_)
    with triton_server(repository, tmp_path, ["gland"]) as server:
        for kind in ("http", "grpc"):
            for name, values, type_name in (("SCAN", points, "FP32"), ("FILE", file, "BYTES")):
                version, outputs = asked(server, kind, name, values, type_name)
                assert version == "1" and outputs["SCORE"][0, 0] == pytest.approx(expected.score, rel=1e-3)
                assert outputs["IS_DEFECT"][0, 0] == expected.is_defect
                assert outputs["MAP"][0] == pytest.approx(expected.map, abs=1e-2)
                assert json.loads(outputs["RESULT"][0, 0])["product"] == "gland"
            with pytest.raises(client_module("http").InferenceServerException, match="is not a scan"):
                asked(server, kind, "FILE", np.array([[b"junk"]], np.object_), "BYTES")
        write_repository(repository, [write_changed(calibrated_bundle, tmp_path / "second", "second")], options)
        assert server.change("gland", "load")[0] == 200 and asked(server, "http", "SCAN", points, "FP32")[0] == "2"
        failing = write_changed(calibrated_bundle, tmp_path / "third", "third", golden_score_added=1.0)
        write_repository(repository, [failing], options)
        status, words = server.change("gland", "load")
        assert status == 400 and "fails its self-test" in words
        assert asked(server, "grpc", "SCAN", points, "FP32")[0] == "2"
        shutil.rmtree(repository / "gland" / "3")
        assert server.change("gland", "load")[0] == 200
        for process in server.stubs("gland"):
            os.kill(process, signal.SIGKILL)
        with pytest.raises(client_module("http").InferenceServerException, match="not healthy"):
            asked(server, "http", "SCAN", points, "FP32")
        # With nothing changed in its folder, `load` answers 200 and does nothing.
        assert server.change("gland", "load")[0] == 200
        with pytest.raises(client_module("http").InferenceServerException, match="not healthy"):
            asked(server, "http", "SCAN", points, "FP32")
        assert [server.change("gland", verb)[0] for verb in ("unload", "load")] == [200, 200]
        assert asked(server, "http", "SCAN", points, "FP32")[0] == "2"
