"""The model.py of a repository, with a double of Triton's own module: what it raises, answers and asks for."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from cmdiad.benchmarks.shared.changed_bundles import write_changed
from cmdiad.export.triton import repository
from cmdiad.export.triton.pbtxt import TritonOptions
from cmdiad.export.triton.repository import write_repository
from cmdiad.runtime.sensor.find import find_scans

MODEL = Path(repository.__file__).with_name("model.py")


class TritonModelException(Exception):
    pass


class TritonError:
    INVALID_ARG, INTERNAL = 1, 2

    def __init__(self, message, code):
        self.message, self.code = message, code


class Tensor:
    spoil = False

    def __init__(self, name, array):
        self._name, self._array = name, array

    def name(self):
        return self._name

    def as_numpy(self):
        return self._array

    @classmethod
    def from_dlpack(cls, name, array):
        return cls(name, np.full_like(array, array[0]) if cls.spoil else array)


class Request:
    def __init__(self, tensors, wanted=("SCORE", "RESULT")):
        self._tensors, self._wanted = tensors, wanted

    def inputs(self):
        return [Tensor(name, array) for name, array in self._tensors.items()]

    def requested_output_names(self):
        return list(self._wanted)


@pytest.fixture
def backend(monkeypatch):
    module = ModuleType("triton_python_backend_utils")
    module.warnings = []
    module.TritonModelException, module.TritonError = TritonModelException, TritonError
    module.Tensor = type("Tensor", (Tensor,), {})
    module.Logger = SimpleNamespace(log_warn=module.warnings.append)
    module.InferenceResponse = lambda output_tensors=(), error=None: SimpleNamespace(
        tensors={tensor.name(): tensor.as_numpy() for tensor in output_tensors}, error=error
    )
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", module)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return module


def model_of(folder):
    specification = importlib.util.spec_from_file_location("model_under_test", folder / "model.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def arguments(**parameters):
    values = {key: {"string_value": value} for key, value in {"threads": "1", **parameters}.items()}
    config = {"max_batch_size": 8, "instance_group": [{"count": 1}], "parameters": values}
    return {"model_config": json.dumps(config), "model_name": "gland"}


@pytest.fixture
def version(calibrated_bundle, tmp_path):
    (written,) = write_repository(tmp_path, [calibrated_bundle], TritonOptions())
    return written.folder


def test_requests_are_answered_with_what_they_ask_for_and_errors_are_their_own(backend, version, synth_data):
    model = model_of(version).TritonPythonModel()
    model.initialize(arguments())
    content = find_scans([synth_data / "gland" / "test"])[0].read_bytes()
    good = {"FILE": np.array([[content]], np.object_)}
    answers = model.execute([Request(good), Request({"FILE": np.array([[b"junk"]], np.object_)}), Request({})])
    model.finalize()
    assert answers[0].error is None and set(answers[0].tensors) == {"SCORE", "RESULT"}
    for answer, words in zip(answers[1:], ("request: is not a scan", "either SCAN or FILE"), strict=True):
        assert words in answer.error.message and answer.error.code == TritonError.INVALID_ARG
    assert backend.warnings == []


def test_a_version_that_fails_is_refused_in_one_line(backend, calibrated_bundle, version):
    shutil.rmtree(version / "bundle")
    write_changed(calibrated_bundle, version / "bundle", "fails", golden_score_added=1.0)
    with pytest.raises(TritonModelException, match="fails its self-test") as refused:
        model_of(version).TritonPythonModel().initialize(arguments())
    assert "\n" not in str(refused.value) and refused.value.__cause__ is None


def test_nonsense_in_the_configuration_is_refused(backend, version):
    with pytest.raises(TritonModelException, match=r"config\.pbtxt: threads 'many'"):
        model_of(version).TritonPythonModel().initialize(arguments(threads="many"))
    with pytest.raises(TritonModelException, match="provider"):
        model_of(version).TritonPythonModel().initialize(arguments(provider="abacus"))


@pytest.mark.skipif(int(np.__version__.split(".")[0]) < 2, reason="every server's stub reads tensors well with NumPy 1")
def test_a_stub_that_reads_tensors_wrongly_is_refused_before_any_scan(backend, version):
    backend.Tensor.spoil = True
    with pytest.raises(TritonModelException, match="reads tensors wrongly with NumPy"):
        model_of(version).TritonPythonModel().initialize(arguments())


def test_the_site_folders_are_those_of_the_variable_or_of_the_configuration(backend, version, monkeypatch, tmp_path):
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    for folder in (first, second, third):
        folder.mkdir()
    monkeypatch.setenv("CMDIAD_TRITON_SITE", os.pathsep.join(map(str, (first, second))))
    module = model_of(version)
    assert module.site_folders() == [str(first), str(second)] and sys.path[:2] == [str(first), str(second)]
    monkeypatch.delenv("CMDIAD_TRITON_SITE")
    assert module.site_folders() == []
    with (version.parent / "config.pbtxt").open("a") as stream:
        stream.write(f'parameters {{ key: "site", value: {{ string_value: "{third}" }} }}\n')
    assert module.site_folders() == [str(third)]


def test_a_package_that_is_missing_is_named_with_where_to_say_its_folder(backend, version, monkeypatch):
    monkeypatch.setitem(sys.modules, "cmdiad.runtime.triton.served_model", None)
    with pytest.raises(TritonModelException, match=r"name the site-packages folder .* in \$CMDIAD_TRITON_SITE"):
        model_of(version).TritonPythonModel().initialize(arguments())


def test_a_server_that_does_not_know_the_packages_says_what_to_name(tmp_path):
    """As the stub starts it: isolated, and here without any site folder."""
    model = tmp_path / "flange" / "1" / "model.py"
    model.parent.mkdir(parents=True)
    shutil.copy(MODEL, model)
    command = [sys.executable, "-I", "-S", "-c", f"import runpy; runpy.run_path({str(model)!r})"]
    environment = {key: value for key, value in os.environ.items() if key != "CMDIAD_TRITON_SITE"}
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert answer.returncode == 1
    last = answer.stderr.splitlines()[-1]
    assert "has no NumPy: name the site-packages folder" in last and "--triton-site" in last
