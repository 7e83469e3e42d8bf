"""`cmdiad.export` and `cmdiad.evaluate` are the commands of these names; tests/examples evaluates with the latter."""

from __future__ import annotations

import inspect
from pathlib import Path

import cmdiad
import pytest
from cmdiad import ExportSettings, UsageError
from cmdiad.export import python_export
from cmdiad.runtime.bundle.reading import open_bundle


def test_the_package_of_exports_is_the_function(trained_run: Path, exported_bundle: Path, tmp_path: Path) -> None:
    stages: list[str] = []
    manifest = cmdiad.export(trained_run, out=tmp_path / "bundle", progress=lambda stage, *_: stages.append(stage))
    known = open_bundle(exported_bundle).manifest
    assert manifest.files["extractor.onnx"] == known.files["extractor.onnx"] and manifest.route == known.route
    assert stages == ["extractor", "hallucinator", "parity"]
    from cmdiad.export import bundles

    assert cmdiad.export.bundles is bundles and callable(cmdiad.export)  # type: ignore[attr-defined]


def test_a_calibrated_bundle_is_replaced_only_by_force(trained_run: Path, calibrated_bundle: Path) -> None:
    with pytest.raises(UsageError, match=r"is calibrated .*`force=True`"):
        cmdiad.export(trained_run, out=calibrated_bundle)


def test_a_bundle_needs_a_precision_to_be_brought_to(exported_bundle: Path) -> None:
    with pytest.raises(UsageError, match="settings with another precision"):
        cmdiad.export(bundle=exported_bundle, settings=ExportSettings("fp32"))


@pytest.mark.parametrize("name", ["export", "evaluate"])
def test_without_the_extra_it_says_which(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None if module == "torch" else object())
    with pytest.raises(UsageError, match=rf"cmdiad {name} needs the extra `train`: pip install"):
        getattr(cmdiad, name)("anything")


def test_options_have_the_commands_names() -> None:
    """But for what a settings object holds, files of reports, and what only a terminal has."""
    from cmdiad.calibration import python_calibrate as calibration
    from cmdiad.cli.calibrate import calibrate
    from cmdiad.cli.evaluate import evaluate
    from cmdiad.cli.export import export

    own = {"settings", "progress", "preprocessing", "run"}
    for function, command in (
        (calibration.calibrate, calibrate),
        (python_export.export, export),
        (python_export.evaluate, evaluate),
    ):
        # The command's --bundle may be repeated, for Triton.
        taken = {{"bundles": "bundle"}.get(name, name) for name in inspect.signature(command).parameters}
        assert set(inspect.signature(function).parameters) - own <= taken
