"""What tests of the runtime share besides."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def kernel_libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where kernels that run on the processor are compiled to, once for all workers of `pytest -n`."""
    temporary = tmp_path_factory.getbasetemp()
    folder = (temporary.parent if "PYTEST_XDIST_WORKER" in os.environ else temporary) / "kernel_libraries"
    folder.mkdir(exist_ok=True)
    return folder
