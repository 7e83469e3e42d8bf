"""The commands, each in a process of its own that does not begin with an empty interpreter.

Starting Python and importing torch and its company takes four seconds of a processor, a fork a fifth of one. So one
process has imported everything, has done nothing else, and forks: the child gets the command's streams, folder,
environment and arguments, and runs the command's `main` to its end. It is a process as any other: its streams, exit
code, signals and memory are its own.

What depends on how an interpreter starts (its environment, closed streams, what it has not imported yet) is tested with
an interpreter that is started: see `test_workstation`, `test_line`, `test_streams` and `test_packaging`.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from cmdiad.runtime.threads import processor_share, usable_processors

MODULES = {"cmdiad": "workstation", "cmdiad-rt": "line"}
# What their commands import when they run.
LINE = """
from cmdiad.runtime.engines.onnxruntime_import import import_onnxruntime
import_onnxruntime()
import cmdiad.cli.line, cmdiad.runtime.acceptance.selftest, cmdiad.runtime.inspector
import cmdiad.runtime.bench.measuring.quality, cmdiad.runtime.sensor.sensor_file, cmdiad.runtime.stream
try:
    import typer._adapters  # imports pydantic; older versions have none
except ImportError:
    pass
"""
WORKSTATION = f"""{LINE}
import cmdiad.calibration.calibrated_bundle, cmdiad.calibration.evaluation.evaluate, cmdiad.cli.workstation
import cmdiad.export.bundles, cmdiad.training.train, onnxscript, sklearn.svm, timm
"""
LONGEST_REQUEST = 1 << 17


def run_command(name: str, *arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `cmdiad` or `cmdiad-rt`.

    Args:
        name: of the program.
        arguments: its arguments.
        cwd: where it runs.
        environment: variables beside those of this process; no bundle is named unless here.

    Returns:
        Its exit code and what it printed.
    """
    before = LINE if name == "cmdiad-rt" else WORKSTATION
    environment = {"CMDIAD_BUNDLE": "", **environment}
    code = f"from cmdiad.cli.{MODULES[name]} import main; main()"
    return run_code(code, *arguments, cwd=cwd, before=before, environment=environment)


def run_code(
    code: str, *arguments: object, cwd: Path, before: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """As `python -c CODE`, in a process in which some code has run before."""
    words, variables = [*map(str, arguments)], {**os.environ, **(environment or {})}
    if sys.platform != "linux":
        command = [sys.executable, "-c", f"{before}\n{code}", *words]
        return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        request = {"code": code, "arguments": words, "cwd": os.fspath(cwd), "environment": variables}
        request["processors"] = usable_processors()
        ended = _Forking.after(before).run(request, out.fileno(), err.fileno())
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode())
    return subprocess.CompletedProcess(["-c", *words], ended, *texts)


class _Forking:
    """A process that has run some code, and runs every command in a fork of itself."""

    def __init__(self, before: str) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        code = f"{Path(__file__).read_text(encoding='utf-8')}\nserve({theirs.fileno()}, {before!r})"
        # NumPy would start its threads when it is imported, and a process with threads cannot be forked safely.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=os.sep,
            env=environment,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        atexit.register(self._end)

    @classmethod
    @functools.cache
    def after(cls, before: str) -> _Forking:
        """The one for this code."""
        return cls(before)

    def run(self, request: dict[str, Any], out: int, err: int) -> int:
        """The exit code of a command; minus the signal that ended it."""
        socket.send_fds(self._requests, [json.dumps(request).encode()], [out, err])
        answer = self._requests.recv(LONGEST_REQUEST)
        assert answer, f"the process that runs {request['arguments']} is gone"
        return os.waitstatus_to_exitcode(int(answer))

    def _end(self) -> None:
        self._requests.close()
        self._process.wait()


def serve(descriptor: int, before: str) -> None:
    """In the process that forks: once for every request."""
    import gc

    requests = socket.socket(fileno=descriptor)
    exec(compile(before, "<before>", "exec"), {"__name__": "__main__"})
    assert len([*Path("/proc/self/task").iterdir()]) == 1, "a process with threads cannot be forked safely"
    gc.freeze()
    while True:
        message, streams, *_ = socket.recv_fds(requests, LONGEST_REQUEST, 2)
        if not message:
            return
        child = os.fork()
        if child == 0:
            requests.close()
            _run(json.loads(message), streams)
        for stream in streams:
            os.close(stream)
        requests.send(str(os.waitpid(child, 0)[1]).encode())


def _run(request: dict[str, Any], streams: list[int]) -> NoReturn:
    """The command in the child, as after `python -c`."""
    for target, stream in enumerate(streams, 1):
        os.dup2(stream, target)
        os.close(stream)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["-c", *request["arguments"]]
    code = 1
    try:
        with processor_share(request["processors"]):
            exec(compile(request["code"], "<string>", "exec"), {"__name__": "__main__"})
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 0 if left.code is None else 1
        if isinstance(left.code, str):
            print(left.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    # What the interpreter does at its end but for taking apart, and so copying, all that was imported before the fork.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for text in (sys.stdout, sys.stderr):
        text.flush()
    os._exit(code)
