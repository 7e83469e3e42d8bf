"""ONNX Runtime reports nothing: no file in the home folder, no question to the network, whoever imports it."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cmdiad.runtime.engines.onnxruntime_import import GEMM_SWITCH, import_onnxruntime

ROOT = Path(__file__).resolve().parents[3]
SWITCH = "ORT_DISABLE_TELEMETRY"
DOOR = "runtime/engines/onnxruntime_import.py"
RUN_A_NETWORK = """
import numpy as np
from cmdiad.runtime.acceptance.probe import PROBE
from cmdiad.runtime.engines.session import OnnxSession
OnnxSession(PROBE, threads=1).run({"x": np.eye(2, dtype=np.float32)})
"""
# A thread asks for the host, between 2 and 12 s after the import (1.32).
WAIT = "import time; time.sleep(12)"


def silent_environment(home: Path) -> dict[str, str]:
    """An empty home, and no wish of the test's own about telemetry."""
    kept = {key: value for key, value in os.environ.items() if key not in (SWITCH, "CI") and "XDG" not in key}
    return {**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}


def test_running_a_network_writes_nothing_into_the_home_folder(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", RUN_A_NETWORK], env=silent_environment(tmp_path), check=True)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="watches system calls with strace")
def test_running_a_network_asks_nobody(tmp_path: Path) -> None:
    log = tmp_path / "log"
    watched = ["strace", "-f", "-o", str(log), "-e", "trace=socket,connect,sendto,sendmsg"]
    answer = subprocess.run([*watched, "true"], capture_output=True, check=False)
    if answer.returncode != 0:
        pytest.skip("strace may not trace here")
    command = [*watched, sys.executable, "-c", RUN_A_NETWORK + WAIT]
    subprocess.run(command, env=silent_environment(tmp_path / "home"), check=True)
    asked = [line for line in log.read_text().splitlines() if "AF_INET" in line]
    assert asked == []


@pytest.mark.parametrize("setting", ["0", "false", "", "1"])
def test_whatever_the_user_has_set_it_is_off_for_us_and_for_what_we_start(setting: str, tmp_path: Path) -> None:
    code = (
        "import os, subprocess, sys\n"
        "from cmdiad.runtime.engines.onnxruntime_import import import_onnxruntime\n"
        "import_onnxruntime()\n"
        f"subprocess.run([sys.executable, '-c', 'import os; print(os.environ[\"{SWITCH}\"])'], check=True)"
    )
    environment = {**silent_environment(tmp_path), SWITCH: setting}
    answer = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "1"
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


@pytest.mark.parametrize("module", ["line", "workstation"])
def test_a_command_has_it_off_before_it_does_anything(module: str, tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        f"from cmdiad.cli import entry, {module}\n"
        "entry.outcome = lambda *_: (print(os.environ.get('ORT_DISABLE_TELEMETRY'), file=sys.stderr), 0)[1]\n"
        f"{module}.main()"
    )
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, env=silent_environment(tmp_path), capture_output=True, text=True, check=True)
    assert answer.stderr.strip() == "1"


def our_files() -> list[Path]:
    """Every module of the package and of benchmarks."""
    folders = ("runtime", "calibration", "training", "export", "cli", "benchmarks")
    return [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]


def imports_of_onnxruntime(tree: ast.AST) -> list[ast.AST]:
    return [
        node
        for node in ast.walk(tree)
        if (isinstance(node, ast.Import) and any(name.name.split(".")[0] == "onnxruntime" for name in node.names))
        or (isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] == "onnxruntime")
    ]


def goes_through_the_door(function: ast.AST, statement: ast.AST) -> bool:
    """Whether a function calls the door in a line above."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "import_onnxruntime"
        and node.lineno < getattr(statement, "lineno", 0)
        for node in ast.walk(function)
    )


def test_nobody_imports_it_but_through_the_door() -> None:
    files = our_files()
    assert len(files) > 150
    for file in files:
        if file == ROOT / DOOR:
            continue
        tree = ast.parse(file.read_text())
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        for statement in imports_of_onnxruntime(tree):
            around = [function for function in functions if statement in ast.walk(function)]
            assert any(goes_through_the_door(function, statement) for function in around), (file, statement.lineno)


@pytest.mark.parametrize(("before", "after"), [(None, "2"), ("0", "2"), ("1", "2"), ("5", "6"), ("nonsense", "2")])
def test_half_precision_products_are_added_in_single_precision(monkeypatch, before, after):
    if before is None:
        monkeypatch.delenv(GEMM_SWITCH, raising=False)
    else:
        monkeypatch.setenv(GEMM_SWITCH, before)
    import_onnxruntime()
    assert os.environ[GEMM_SWITCH] == after
