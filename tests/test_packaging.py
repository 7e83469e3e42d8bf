"""What is built and installed: the right files, and a line that needs nothing of the workstation."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FORBIDDEN = ("torch", "torchvision", "timm", "sklearn", "open3d", "onnx", "matplotlib", "skimage", "safetensors")
ROOT_MODULES = {"__init__.py", "__main__.py", "version.py"}
STAGES = {"calibration", "cli", "export", "fleet", "reproduce", "runtime", "training", "viewing"}


def run(*command, **options):
    answer = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy so that the checkout is left alone."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    files = run("git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    for name in files:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            (source / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    run(*pip, "--wheel-dir", target, source)
    (built,) = target.iterdir()
    return built


@pytest.mark.slow
def test_the_wheel_is_pure_and_holds_the_package_only(wheel):
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    package = {name for name in names if not name.split("/")[0].endswith(".dist-info")}
    assert {name.split("/")[0] for name in package} == {"cmdiad"}
    folders = {name.split("/")[1] for name in package if name.count("/") > 1}
    assert folders == STAGES
    tracked = run("git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    modules = {
        f"cmdiad/{name}"
        for name in tracked
        if name.endswith(".py") and (name.split("/")[0] in STAGES or name in ROOT_MODULES)
    }
    assert {name for name in package if name.endswith(".py")} == modules
    assert {"cmdiad/py.typed", "cmdiad/training/embedded/point_extractor.safetensors"} <= package
    kinds = (".html", ".css", ".js", ".cu", ".cuh")
    assert {
        f"cmdiad/{name}"
        for name in tracked
        if not name.startswith("docs/") and (name.endswith(kinds) or "/web/page/" in name)
    } <= package
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.fixture(scope="module")
def line_python(wheel, tmp_path_factory):
    """A clean environment with the wheel and its `cpu` extra alone, as on a line PC."""
    folder = tmp_path_factory.mktemp("line") / "venv"
    venv.create(folder)
    python = folder / "bin" / "python"
    # Our pip installs into it, and what no test imports is not compiled.
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-compile"]
    run(*pip, "--quiet", "--disable-pip-version-check", f"{wheel}[cpu]")
    return python


@pytest.mark.slow
def test_the_line_has_no_training_library(line_python, tmp_path):
    code = f"import importlib.util as u; print([n for n in {FORBIDDEN!r} if u.find_spec(n)])"
    assert run(line_python, "-c", code, cwd=tmp_path).strip() == "[]"


@pytest.mark.slow
def test_every_runtime_module_imports_on_the_line(line_python, tmp_path):
    code = (
        "import importlib, pkgutil, cmdiad.runtime as r\n"
        # The server alone needs the extra `serve`.
        "names = [m.name for m in pkgutil.walk_packages(r.__path__, 'cmdiad.runtime.')]\n"
        "names = [name for name in names if '.service.web.' not in name]\n"
        "[importlib.import_module(name) for name in names]\n"
        "print(len(names))"
    )
    assert int(run(line_python, "-c", code, cwd=tmp_path)) > 20


@pytest.mark.slow
def test_the_line_inspects_a_scan_with_the_same_score(line_python, calibrated_bundle, synth_data, tmp_path):
    import json

    from cmdiad.runtime.inspector import Inspector

    scan = synth_data / "gland" / "test" / "dent" / "xyz" / "000.tiff"
    command = [line_python.parent / "cmdiad-rt", "infer", scan, "--bundle", calibrated_bundle, "--json"]
    answer = json.loads(run(*command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""}))
    assert answer["score"] == pytest.approx(Inspector.load(calibrated_bundle)(scan).score, rel=1e-4)


@pytest.mark.slow
def test_the_line_reads_what_earlier_versions_wrote(line_python, tmp_path):
    run(
        sys.executable, "-m", "pip", "--python", line_python, "install", "--quiet", "--no-compile", "pytest", "filelock"
    )
    kept = Path(__file__).parent / "released" / "test_kept_bundles.py"
    environment = {**os.environ, "PYTHONPATH": "", "PYTEST_ADDOPTS": ""}
    said = run(line_python, "-m", "pytest", "-q", "-p", "no:cacheprovider", kept, cwd=tmp_path, env=environment)
    assert " passed" in said and "skipped" not in said


@pytest.mark.slow
def test_every_line_command_explains_itself(line_python, tmp_path):
    command = line_python.parent / "cmdiad-rt"
    assert "infer" in run(command, "--help", cwd=tmp_path)
    assert "--fail-on-defect" in run(command, "infer", "--help", cwd=tmp_path)
    assert "--takt" in run(command, "bench", "--help", cwd=tmp_path)


@pytest.mark.parametrize("command", ["line", "workstation"])
def test_help_imports_nothing_heavy(command):
    heavy = (*FORBIDDEN, "numpy", "scipy", "onnxruntime", "jinja2")
    code = (
        f"import sys; sys.argv = ['x', '--help']\n"
        f"from cmdiad.cli.{command} import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print('LOADED', [n for n in {heavy!r} if n in sys.modules])"
    )
    assert run(sys.executable, "-c", code).splitlines()[-1] == "LOADED []"
