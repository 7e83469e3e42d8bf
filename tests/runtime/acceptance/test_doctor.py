"""What the doctor finds is tried, not believed."""

import json
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from importlib.metadata import PathDistribution
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest
from cmdiad.runtime.acceptance import doctor as doctor_module
from cmdiad.runtime.acceptance.doctor import LINE_PACKAGES, WORKSTATION_PACKAGES, _bundle, examine
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.engines import gpu_wheel
from cmdiad.runtime.engines.gpu_wheel import ONNX_RUNTIMES
from cmdiad.runtime.engines.machine import Gpu, Machine
from cmdiad.runtime.engines.opening import ENGINE_PROVIDERS
from cmdiad.runtime.engines.providers import PROVIDERS
from cmdiad.runtime.errors import UsageError

from ...forked_commands import run_command

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def diagnosis(exported_bundle):
    return examine(open_bundle(exported_bundle), {"torch": "train", "abacus": "calculate"})


def finding(diagnosis, topic, name):
    (found,) = [each for each in diagnosis.findings if (each.topic, each.name) == (topic, name)]
    return found


def test_packages_are_found_or_named_with_what_to_install(diagnosis):
    assert all(finding(diagnosis, "package", name).ok for name in (*LINE_PACKAGES, "torch"))
    missing = finding(diagnosis, "package", "abacus")
    assert missing.ok is False and "pip install 'cmdiad[calculate]'" in missing.detail


def test_packages_are_those_that_cmdiad_declares():
    """None that nothing needs any more is missed, and none that it needs is left out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {extra: set(re.findall(r"^[\w-]+", "\n".join(lines), re.M)) for extra, lines in extras_of(project).items()}
    assert set(LINE_PACKAGES) == names[""]
    assert set(WORKSTATION_PACKAGES) == names["train"] | names["calibrate"]
    for name, extra in WORKSTATION_PACKAGES.items():
        assert name in names[extra]


def extras_of(project):
    """The requirements of each extra; of cmdiad itself under no name."""
    return {"": project["dependencies"], **project["optional-dependencies"]}


def test_every_provider_is_tried(diagnosis):
    assert finding(diagnosis, "provider", "cpu").ok
    for name in [*PROVIDERS, *ENGINE_PROVIDERS]:
        found = diagnosis.available(name)
        assert found.ok or "install" in found.detail
    if not diagnosis.machine.gpus:
        assert [each.name for each in diagnosis.findings if each.topic == "provider" and each.ok] == ["cpu"]
    with pytest.raises(UsageError, match="abacus"):
        diagnosis.available("abacus")


# It is not imported here: it binds itself to a flavor when it is.
@pytest.mark.skipif(find_spec("polygraphy") is None, reason="polygraphy is not installed")
@pytest.mark.parametrize(
    ("target", "words"),
    [("sm90", "does not run on sm90 (it has sm75"), ("sm86", "cannot load a small engine on this sm86")],
)
def test_the_bundle_s_own_engines_run_only_where_one_did(monkeypatch, target, words):
    """A GPU and a driver as the driver's library shows them, and none behind them."""
    pytest.importorskip("tensorrt_rtx")
    pretended = Machine((Gpu("pretended", target, 1 << 33),), 13000, "580.65", "linux-x86_64")
    monkeypatch.setattr(doctor_module, "this_machine", lambda: pretended)
    found = examine(None).available("tensorrt-rtx-engine")
    assert found.ok is False and words in found.detail


def installed_wheels(folder, *wheels, file="onnxruntime/__init__.py"):
    """A stand-in for `importlib.metadata.distribution` that knows some wheels with one file each, and no others."""
    for wheel in wheels:
        info = folder / f"{wheel}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Name: {wheel}\nVersion: 1.30.0\n")
        (info / "RECORD").write_text(f"{file},,\n")

    def distribution(name):
        if name not in wheels:
            raise gpu_wheel.importlib.metadata.PackageNotFoundError(name)
        return PathDistribution(folder / f"{name}.dist-info")

    return distribution


def runtime_findings(monkeypatch, distribution):
    monkeypatch.setattr(gpu_wheel.importlib.metadata, "distribution", distribution)
    findings = doctor_module._packages({})
    return [(each.name, each.ok, each.detail) for each in findings if each.name.startswith(tuple(ONNX_RUNTIMES))]


def test_other_vendors_wheels_of_onnx_runtime_are_known(monkeypatch, tmp_path):
    (found, _) = runtime_findings(monkeypatch, installed_wheels(tmp_path, "onnxruntime-openvino"))
    assert found == ("onnxruntime-openvino", True, "1.30.0, with OpenVINO")


def test_two_wheels_of_onnx_runtime_are_warned_of(monkeypatch, tmp_path):
    wheels = ("onnxruntime", "onnxruntime-migraphx")
    *each, both, _ = runtime_findings(monkeypatch, installed_wheels(tmp_path, *wheels))
    assert [(name, ok) for name, ok, _ in each] == [(wheel, False) for wheel in wheels]
    assert both[:2] == ("onnxruntime and onnxruntime-migraphx", False) and "exactly one" in both[2]


def test_a_plug_in_is_not_a_second_wheel(monkeypatch, tmp_path):
    distribution = installed_wheels(tmp_path, "onnxruntime-qnn", file="onnxruntime_qnn/__init__.py")
    (found, _) = runtime_findings(monkeypatch, distribution)
    assert found[:2] == ("onnxruntime", False) and "missing" in found[2]


def test_a_bundle_is_looked_at(diagnosis, exported_bundle):
    assert finding(diagnosis, "bundle", str(exported_bundle)).ok
    calibration = finding(diagnosis, "bundle", "calibration")
    assert calibration.ok is False and "cmdiad calibrate" in calibration.detail


def test_a_calibration_of_an_earlier_version_is_not_well(diagnosis, calibrated_bundle):
    bundle = open_bundle(calibrated_bundle)
    before = replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, format_version=1))
    for inspected, ok, words in ((bundle, True, "calibrated"), (before, False, "earlier version")):
        found = finding(
            replace(diagnosis, findings=list(_bundle(inspected, diagnosis.machine))), "bundle", "calibration"
        )
        assert found.ok is ok and words in found.detail


def doctor_fresh(module, *arguments, cwd):
    """In an interpreter that has imported nothing."""
    command = [sys.executable, "-c", f"from cmdiad.cli.{module} import main; main()", "doctor", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_both_commands_have_one(exported_bundle, tmp_path):
    answer = doctor_fresh("line", "--bundle", exported_bundle, "--json", "--provider", "cpu", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert found.keys() == {"machine", "findings"}
    assert all(each.keys() == {"topic", "name", "ok", "detail"} for each in found["findings"])
    assert not any(each["name"] == "torch" for each in found["findings"])
    answer = run_command("cmdiad", "doctor", "--provider", "abacus", cwd=tmp_path)
    assert answer.returncode == 2 and "abacus" in answer.stderr
    answer = doctor_fresh("workstation", cwd=tmp_path)
    assert answer.returncode == 0 and "torch" in answer.stdout
    assert run_command("cmdiad-rt", "doctor", "--bundle", "nowhere", cwd=tmp_path).returncode == 4
