"""What running a benchmark as a script puts first on Python's path: the folder that it lies in."""

import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import cmdiad.benchmarks

FOLDER = Path(cmdiad.benchmarks.__file__).parent
# Imported by libraries that the benchmarks use, where they are installed: torch asks for triton.
SOMETIMES_INSTALLED = {"faiss", "open3d", "ray", "tensorrt", "triton", "tritonclient", "cupy"}


def test_no_script_hides_a_module_that_others_import() -> None:
    importable = sys.stdlib_module_names | packages_distributions().keys() | SOMETIMES_INSTALLED
    modules = [path for path in FOLDER.rglob("*.py") if path.name != "__init__.py"]
    folders = {path.parent for path in modules if 'if __name__ == "__main__"' in path.read_text(encoding="utf-8")}
    assert len(folders) > 2
    assert [path.name for path in modules if path.parent in folders and path.stem in importable] == []
