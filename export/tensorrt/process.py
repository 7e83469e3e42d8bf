"""One engine, one process: TensorRT builds in a child, and what happens to that does not happen to the export.

Once a TensorRT-RTX build waited for a lock for good, in a process in which torch and ONNX Runtime had run; two thousand
builds since did not show why. A fresh process has none of their threads, and one that does not end is ended. Nor
can a fault in a vendor's library take the export with it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from ...runtime.bundle.manifest import Network, Profile
from ...runtime.bundle.parameters import FlavorName
from ...runtime.child_python import child_environment, ending, last_words
from ...runtime.engines.flavor import Flavor, flavor_of
from ...runtime.engines.machine import Machine
from ...runtime.errors import EngineError, UsageError
from .builder import BuiltEngine, EngineGraph, EngineSettings, engine_from_onnx

# TensorRT-RTX times nothing while building and takes seconds; standard TensorRT measures kernels, which takes minutes.
LIMIT_SECONDS: Mapping[FlavorName, float] = {"tensorrt-rtx": 600, "tensorrt": 3600}

REQUEST, MODEL, EXTERNAL = "request.json", "model.onnx", "external"
ANSWER, PLAN, SAID = "answer.json", "engine.plan", "said.txt"


class BuildRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is to build, beside the graph's files; see `engine_from_onnx`."""

    name: str
    flavor: FlavorName
    network: Network
    settings: EngineSettings
    machine: Machine


class Built(msgspec.Struct, frozen=True, kw_only=True, tag="built"):
    """A `BuiltEngine` without the plan, which is beside it."""

    version: str
    profiles: dict[str, Profile]
    log: str
    timing_cache: bytes | None


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    """An error of ours, with its words."""

    kind: Literal["usage", "engine"]
    message: str


def build_apart(
    graph: EngineGraph, name: str, flavor: Flavor, settings: EngineSettings, machine: Machine
) -> BuiltEngine:
    """`engine_from_onnx` in a process of its own; arguments and errors as there.

    Raises:
        UsageError: the flavor has no such target or option.
        EngineError: the flavor is not installed, its builder refuses the graph, crashes, or does not end.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / EXTERNAL).mkdir()
        for file, content in graph.external.items():
            (folder / EXTERNAL / file).write_bytes(content)
        (folder / MODEL).write_bytes(graph.model)
        request = BuildRequest(name=name, flavor=flavor.name, network=graph.network, settings=settings, machine=machine)
        (folder / REQUEST).write_bytes(msgspec.json.encode(request))
        _run_child(folder, name, LIMIT_SECONDS[flavor.name])
        answer = msgspec.json.decode((folder / ANSWER).read_bytes(), type=Built | Refused)
        if isinstance(answer, Refused):
            raise (UsageError if answer.kind == "usage" else EngineError)(answer.message)
        plan = (folder / PLAN).read_bytes()
    return BuiltEngine(plan, answer.version, answer.profiles, answer.log, answer.timing_cache)


def _run_child(folder: Path, name: str, limit: float) -> None:
    """Run this module on a folder and wait for its answer.

    Raises:
        EngineError: it crashed or did not end; the text has the last that it wrote.
    """
    # In the folder: `-m` looks for modules in the working directory first, and the user's is the user's.
    command = [sys.executable, "-m", __name__, "."]
    said = folder / SAID
    try:
        with said.open("wb") as output:
            code = subprocess.run(
                command,
                cwd=folder,
                env=child_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=limit,
                check=False,
            ).returncode
    except subprocess.TimeoutExpired as cause:
        raise EngineError(
            f"{name}: TensorRT's builder did not end within {limit:g} s and was ended: build it again"
            f"{last_words(said.read_bytes())}"
        ) from cause
    if code != 0 or not (folder / ANSWER).is_file():
        raise EngineError(
            f"{name}: TensorRT's builder crashed ({ending(code)}): build it again{last_words(said.read_bytes())}"
        )


def answer_request(folder: Path) -> None:
    """The child's part: build what a folder asks for and leave plan and answer there."""
    request = msgspec.json.decode((folder / REQUEST).read_bytes(), type=BuildRequest)
    external = {file.name: file.read_bytes() for file in (folder / EXTERNAL).iterdir()}
    graph = EngineGraph(request.network, (folder / MODEL).read_bytes(), external)
    answer: Built | Refused
    try:
        built = engine_from_onnx(graph, request.name, flavor_of(request.flavor), request.settings, request.machine)
    except (UsageError, EngineError) as error:
        answer = Refused(kind="usage" if isinstance(error, UsageError) else "engine", message=str(error))
    else:
        (folder / PLAN).write_bytes(built.plan)
        answer = Built(version=built.version, profiles=built.profiles, log=built.log, timing_cache=built.timing_cache)
    (folder / ANSWER).write_bytes(msgspec.json.encode(answer))


if __name__ == "__main__":
    answer_request(Path(sys.argv[1]))
