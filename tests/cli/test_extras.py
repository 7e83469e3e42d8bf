"""A command whose packages are not installed says which extra brings them, before it does anything."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cmdiad.cli import line, workstation
from cmdiad.cli.extras import CALIBRATE, TRAIN, needs_of, require_extras
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.errors import UsageError
from typer.core import TyperGroup
from typer.main import get_command

from ..forked_commands import run_code

# What is in no installation of the line's, and beside it what the line's own extra brings.
EXTRA_MODULES = (
    "torch",
    "torchvision",
    "timm",
    "safetensors",
    "onnx",
    "onnxscript",
    "sklearn",
    "skimage",
    "cryptography",
)
# A Python without some modules: neither found nor imported.
WITHOUT = """
import importlib.machinery, sys
hidden = {hidden!r}
class Hides(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in hidden else super().find_spec(name, path, target)
sys.meta_path[:] = [Hides if finder is importlib.machinery.PathFinder else finder for finder in sys.meta_path]
import cmdiad.cli.{module}
"""
# Every command with arguments that would let it begin.
ARGUMENTS = {
    "demo": "demo",
    "synth": "data --class teapot",
    "preprocess": "data clean",
    "train": "data",
    "export": "",
    "calibrate": "scans",
    "evaluate": "data",
    "fleet": "products.toml --calibrate",
    "reproduce": "2 data",
    "view": "scan.tiff --save view.png",
    "inspect": "bundle",
    "doctor": "",
    "sign": "bundle --key plant.key",
    "keys new": "plant",
    "keys show": "plant.pub",
    "sensor new": "",
    "sensor check": "kinect",
    "sensor show": "kinect",
    "sensor fit": "scans",
    "features": "scan.tiff --out F.npz --point-checkpoint random:0",
    "weights list": "",
    "weights verify": "",
    "weights path": "",
    "weights adopt": "weights.pth",
}


def commands(app: object, prefix: str = "") -> dict[str, Any]:
    group = get_command(app) if not isinstance(app, TyperGroup) else app  # type: ignore[arg-type]
    assert isinstance(group, TyperGroup)
    named: dict[str, Any] = {}
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            named |= commands(command, f"{name} ")
        if not isinstance(command, TyperGroup) or command.invoke_without_command:
            named[prefix + name] = command
    return named


NEEDS = {name: needs_of(command.callback) for name, command in commands(workstation.app).items()}
NEEDS["features"] = TRAIN


def run(module: str, *arguments: str, hidden: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[str]:
    before = WITHOUT.format(hidden=hidden, module=module)
    return run_code(f"from cmdiad.cli.{module} import main; main()", *arguments, cwd=folder, before=before)


def test_the_commands_here_are_all_of_them() -> None:
    assert set(commands(workstation.app)) == set(ARGUMENTS)
    needing = ("demo", "train", "export", "calibrate", "evaluate", "fleet", "reproduce", "inspect", "features", "sign")
    inside = ("weights verify", "weights adopt", "keys new", "keys show")
    assert {name for name, needs in NEEDS.items() if needs} == {*needing, *inside}


@pytest.mark.parametrize("command", ARGUMENTS)
def test_without_any_extra_a_command_names_its_extra_or_gets_further(command: str, tmp_path: Path) -> None:
    arguments = [*command.split(), *ARGUMENTS[command].split()]
    answer = run("workstation", *arguments, hidden=EXTRA_MODULES, folder=tmp_path)
    assert "Traceback" not in answer.stderr and "No module named" not in answer.stderr, answer.stderr
    needs = NEEDS[command]
    if not needs:
        assert "pip install 'cmdiad[" not in answer.stderr
        return
    (extra,) = (name for name in needs if name != "cpu")
    assert answer.returncode == 2 and len(answer.stderr.splitlines()) == 1
    assert f"cmdiad {command}" in answer.stderr and f"pip install 'cmdiad[{extra}]'" in answer.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["line", "workstation"])
def test_help_needs_no_extra(module: str, tmp_path: Path) -> None:
    hidden = (*EXTRA_MODULES, "onnxruntime", "numpy", "scipy")
    for name in [[], *(command.split() for command in commands(importlib.import_module(f"cmdiad.cli.{module}").app))]:
        answer = run(module, *name, "--help", hidden=hidden, folder=tmp_path)
        assert answer.returncode == 0 and "Usage:" in answer.stdout, answer.stderr


@pytest.mark.parametrize("missing", [*EXTRA_MODULES, "onnxruntime"])
def test_each_missing_module_is_noticed_alone(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == missing else object())
    for command, needs in NEEDS.items():
        extras = [extra for extra, modules in needs.items() if missing in modules]
        if not extras:
            require_extras(command, needs)
            continue
        with pytest.raises(UsageError, match=rf"cmdiad {command} needs .*cmdiad\[{','.join(extras)}\]"):
            require_extras(command, needs)


def test_several_extras_are_one_line_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"extras `cpu` and `calibrate`: pip install 'cmdiad\[cpu,calibrate\]'"):
        require_extras("calibrate", CALIBRATE)


def test_of_the_line_only_the_service_needs_an_extra() -> None:
    assert {name for name, command in commands(line.app).items() if needs_of(command.callback)} == {"serve"}


@pytest.mark.slow
def test_engines_are_added_to_a_bundle_without_a_library_of_the_training(exported_bundle: Path, tmp_path: Path) -> None:
    """Standard TensorRT builds on the line's own GPU, and the line has no torch."""
    engine = ["--engine", "tensorrt-rtx", "--target", "sm86", "-q"]
    arguments = ["export", "--bundle", str(exported_bundle), "--out", "b.cmdiad", *engine]
    answer = run("workstation", *arguments, hidden=EXTRA_MODULES, folder=tmp_path)
    if importlib.util.find_spec("tensorrt_rtx") is None:
        assert answer.returncode == 5 and "pip install 'cmdiad[tensorrt-rtx]'" in answer.stderr
        return
    assert answer.returncode == 0, answer.stderr
    engines = open_bundle(tmp_path / "b.cmdiad").manifest.engines
    assert {engine.role for engine in engines} == {"extractor", "hallucinator"}
    answer = run("workstation", *arguments, "--precision", "int8", "--force", hidden=EXTRA_MODULES, folder=tmp_path)
    assert answer.returncode == 2 and "pip install 'cmdiad[train]'" in answer.stderr
