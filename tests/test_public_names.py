"""What `import cmdiad` gives: real classes with real types, and nothing loaded before it is used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cmdiad
import pytest
from cmdiad.runtime import errors
from cmdiad.runtime.inspection import Inspection
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.sensor.part import Part

SNIPPET = """
from pathlib import Path
import cmdiad
import numpy as np
from cmdiad import CalibrationSettings, ExportSettings, Inspector, ScanError, OutputError, Part

inspector = Inspector.load("bundle")
try:
    inspection = inspector(Path("scan.tiff"))
except ScanError as error:
    reveal_type(error)
reveal_type(Inspector)
reveal_type(inspection)
reveal_type(inspection.score)
reveal_type(Part)
reveal_type(OutputError.exit_code)
reveal_type(inspector.inspect(np.zeros((4, 5, 3)), part_id="7").part_id)
reveal_type(inspection.points3d()[0])
reveal_type(inspection.save("out").cloud)
reveal_type(cmdiad.calibrate([np.zeros((4, 5, 3)), "scans", Path("a.tiff")], settings=CalibrationSettings(seed=1)))
reveal_type(cmdiad.export("run", settings=ExportSettings("fp16")))
reveal_type(cmdiad.evaluate("data", routes=["f2f"]))
{line}
"""


def test_the_classes_are_the_runtimes_own() -> None:
    assert cmdiad.Inspector is Inspector and cmdiad.Inspection is Inspection and cmdiad.Part is Part


def test_every_error_is_exported() -> None:
    kinds = {errors.CmdiadError, *errors.CmdiadError.__subclasses__()}
    assert {getattr(cmdiad, kind.__name__) for kind in kinds} == kinds


def test_all_names_are_listed_and_there_and_others_are_not() -> None:
    assert set(cmdiad.__all__) <= set(dir(cmdiad))
    assert all(getattr(cmdiad, name) is not None for name in cmdiad.__all__)
    with pytest.raises(AttributeError, match="Inspectorr"):
        cmdiad.Inspectorr  # type: ignore[attr-defined] # noqa: B018


def test_importing_loads_nothing_heavy() -> None:
    code = "import sys, cmdiad; dir(cmdiad); cmdiad.ScanError; print({'numpy', 'msgspec', 'scipy'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_a_name_that_is_not_called_loads_no_extra() -> None:
    """What a line's machine has is enough to look at every name."""
    hidden = ("torch", "sklearn", "onnx", "onnxruntime", "open3d")
    code = f"""
import sys
for name in {hidden!r}:
    sys.modules[name] = None
import cmdiad
print([name for name in cmdiad.__all__ if getattr(cmdiad, name) is None])
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def checked(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What mypy says of a user's program."""
    (folder / "program.py").write_text(SNIPPET.format(line=line))
    # mypy does not follow an editable installation; a wheel is a folder on the path.
    installed = folder / "installed"
    installed.mkdir(exist_ok=True)
    if not (installed / "cmdiad").exists():
        (installed / "cmdiad").symlink_to(Path(cmdiad.__file__).parent, target_is_directory=True)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder / "cache"), "program.py"]
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.slow
def test_a_type_checker_sees_types(tmp_path: Path) -> None:
    answer = checked("", tmp_path)
    assert answer.returncode == 0, answer.stdout
    for words in (
        'Revealed type is "cmdiad.runtime.errors.ScanError"',
        "cmdiad.runtime.inspector.Inspector",
        'Revealed type is "cmdiad.runtime.inspection.Inspection"',
        'Revealed type is "float"',
        "cmdiad.runtime.sensor.part.Part",
        'Revealed type is "int"',
        'Revealed type is "str | None"',
        "cmdiad.runtime.bundle.manifest.Manifest",
        "cmdiad.calibration.calibrated_bundle.Completed",
        "cmdiad.calibration.evaluation.outcomes.Evaluation",
    ):
        assert words in answer.stdout.replace("builtins.", ""), answer.stdout
    assert '"Any"' not in answer.stdout
    answer = checked("inspection.scoore", tmp_path)
    assert answer.returncode == 1 and "scoore" in answer.stdout


def test_python_m_is_the_command() -> None:
    answer = subprocess.run([sys.executable, "-m", "cmdiad", "-h"], capture_output=True, text=True, check=False)
    assert answer.returncode == 0 and answer.stdout.startswith("Usage: cmdiad ")
