"""A real Triton server without a GPU: the one that the wheel of `nvidia-pytriton` brings, with its Python backend.

$CMDIAD_TRITON names the environment with the wheel and the packages of the line, one of its own: it pins NumPy.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import cmdiad

VARIABLE = "CMDIAD_TRITON"
START_SECONDS = 120.0


@dataclass(frozen=True)
class TritonProcess:
    """A running server.

    Attributes:
        process: of the server.
        log: what it says.
        http, grpc: its ports on the loopback.
    """

    process: subprocess.Popen[bytes]
    log: Path
    http: int
    grpc: int

    def stubs(self, model: str) -> list[int]:
        """The process IDs of a model's instances: its children whose command line names the model's folder."""
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and _is_stub(entry, self.process.pid, model)
        ]

    def change(self, model: str, verb: str) -> tuple[int, str]:
        """Ask to `load` or `unload` a model: the status, and what is wrong."""
        address = f"http://127.0.0.1:{self.http}/v2/repository/models/{model}/{verb}"
        try:
            with urllib.request.urlopen(
                urllib.request.Request(address, data=b"{}", method="POST"), timeout=300
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


def environment() -> Path | None:
    """The site-packages folder that has the wheel; None where there is none."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    folder = Path(os.environ.get(VARIABLE, "/nowhere")) / "lib" / version / "site-packages"
    return folder if (folder / "pytriton" / "tritonserver" / "bin" / "tritonserver").is_file() else None


def client_module(kind: str) -> ModuleType:
    """`tritonclient.http` or `tritonclient.grpc`: this environment's, else the server's."""
    import importlib

    site = environment()
    if importlib.util.find_spec("tritonclient") is None and site is not None:
        sys.path.append(str(site))
    return importlib.import_module(f"tritonclient.{kind}")


def site_folders() -> str:
    """The folders that a model's process needs: this cmdiad, and the packages of the server's environment.

    Those have the NumPy that the stub was built for, and need `pip install cmdiad[cpu]`'s packages beside it.
    """
    return os.pathsep.join([str(Path(cmdiad.__file__).parent.parent), str(environment())])


@contextlib.contextmanager
def triton_server(repository: Path, work: Path, models: Sequence[str] = ()) -> Iterator[TritonProcess]:
    """Start a server with explicit model control, and stop it when the block ends.

    Args:
        repository: its models.
        work: an empty folder, for a backend directory and the log.
        models: loaded at the start; the server does not start where one fails.

    Raises:
        RuntimeError: it does not start; the message has the end of its log.
    """
    site = environment()
    if site is None:
        raise RuntimeError(f"set ${VARIABLE} to an environment of its own with `pip install nvidia-pytriton==0.7.0`")
    backends = _backends(site, work)
    http, grpc, metrics = (_free_port() for _ in range(3))
    command = [
        str(site / "pytriton" / "tritonserver" / "bin" / "tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={backends}",
        *(f"--{name}-address=127.0.0.1" for name in ("http", "grpc", "metrics")),
        *(f"--{name}-port={port}" for name, port in (("http", http), ("grpc", grpc), ("metrics", metrics))),
        "--model-control-mode=explicit",
        "--exit-timeout-secs=10",
        *(f"--load-model={model}" for model in models),
    ]
    log = work / "server.log"
    variables = {**os.environ, "LD_LIBRARY_PATH": str(site / "nvidia_pytriton.libs")}
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, env=variables)
    server = TritonProcess(process, log, http, grpc)
    try:
        _wait_until_ready(server)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _backends(site: Path, work: Path) -> Path:
    """A backend directory with the stub of this Python's minor version beside the Python backend."""
    source, target = site / "pytriton" / "tritonserver", work / "backends"
    shutil.copytree(source / "backends", target)
    stub = f"{sys.version_info[0]}.{sys.version_info[1]}/triton_python_backend_stub"
    shutil.copy(next(source.rglob(f"python_backend_stubs/{stub}")), target / "python" / "triton_python_backend_stub")
    return target


def _wait_until_ready(server: TritonProcess) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.process.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{server.http}/v2/health/ready", timeout=5).close()
            return
        time.sleep(0.2)
    raise RuntimeError(f"the server does not start:\n{server.log.read_text(errors='replace')[-3000:]}")


def _is_stub(entry: Path, parent: int, model: str) -> bool:
    try:
        words = (entry / "cmdline").read_bytes().split(b"\0")
        status = (entry / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    path = words[1].decode(errors="replace") if len(words) > 1 else ""
    return int(status[1]) == parent and status[0] != "Z" and f"/{model}/" in path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
