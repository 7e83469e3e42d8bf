"""What the doctor finds is tried, not believed."""

import json
import subprocess
import sys
from dataclasses import replace

import msgspec
import pytest
from cmdiad.runtime.acceptance.doctor import LINE_PACKAGES, _bundle, examine
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.engines.opening import ENGINE_PROVIDERS
from cmdiad.runtime.engines.providers import PROVIDERS
from cmdiad.runtime.errors import EngineError


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


def test_every_provider_is_tried(diagnosis):
    assert finding(diagnosis, "provider", "cpu").ok
    for name in [*PROVIDERS, *ENGINE_PROVIDERS]:
        found = diagnosis.available(name)
        assert found.ok or "install" in found.detail
    if not diagnosis.machine.gpus:
        assert [each.name for each in diagnosis.findings if each.topic == "provider" and each.ok] == ["cpu"]
    with pytest.raises(EngineError, match="abacus"):
        diagnosis.available("abacus")


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


def doctor(module, *arguments, cwd):
    command = [sys.executable, "-c", f"from cmdiad.cli.{module} import main; main()", "doctor", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_both_commands_have_one(exported_bundle, tmp_path):
    answer = doctor("line", "--bundle", exported_bundle, "--json", "--provider", "cpu", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert found.keys() == {"machine", "findings"}
    assert all(each.keys() == {"topic", "name", "ok", "detail"} for each in found["findings"])
    assert not any(each["name"] == "torch" for each in found["findings"])
    answer = doctor("workstation", "--provider", "abacus", cwd=tmp_path)
    assert answer.returncode == 5 and "abacus" in answer.stderr
    answer = doctor("workstation", cwd=tmp_path)
    assert answer.returncode == 0 and "torch" in answer.stdout
    assert doctor("line", "--bundle", "nowhere", cwd=tmp_path).returncode == 4
