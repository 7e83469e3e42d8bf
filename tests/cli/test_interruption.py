"""Ctrl-C and SIGTERM: one line on how to go on, a code of their own, nothing half written, no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cmdiad.cli import workstation
from cmdiad.cli.demo import demo
from cmdiad.cli.interruption import Interruption, hint_of
from typer.main import get_command

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends signals")
# A process started in the background may have been told to ignore Ctrl-C.
LISTENING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
# Begins to write a file, says so, and works on: in Python, in native code on threads, or in a command inside it.
PROGRAM = """
import sys, time
from pathlib import Path
import numpy as np
from cmdiad.cli import console, entry
from cmdiad.cli.interruption import when_interrupted
from cmdiad.runtime.files.atomic import atomic_write
app = entry.new_app("An app.")

@app.callback()
def root() -> None: pass

def native() -> None:
    matrix = np.random.default_rng(0).random((500, 500))
    while True:
        matrix @ matrix

def begin() -> None:
    console.emit("begun")

@app.command()
@when_interrupted("run it again")
def calibrate(how: str) -> None:
    from concurrent.futures import ThreadPoolExecutor
    with atomic_write(Path("result")) as stream:
        stream.write(b"half")
        if how == "inner":
            app(["train"], standalone_mode=False)
        elif how == "native":
            with ThreadPoolExecutor(2) as pool:
                futures = [pool.submit(np.linalg.svd, np.random.default_rng(0).random((300, 300))) for _ in range(2)]
                begin()
                [future.result() for future in futures * 1000]
                native()
        elif how == "stubborn":
            try:
                begin()
                time.sleep(60)
            finally:
                time.sleep(60)
        elif how == "translated":
            try:
                begin()
                time.sleep(60)
            except KeyboardInterrupt:
                raise SystemError("returned a result with an exception set") from None
        else:
            begin()
            time.sleep(60)

@app.command()
@when_interrupted("go on")
def train() -> None:
    begin()
    time.sleep(60)

entry.run(app, "cmdiad")
"""


def start(how: str, folder: Path, before: str = LISTENING) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", before + PROGRAM, "calibrate", how],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("how", ["python", "native", "inner", "translated"])
def test_one_line_a_code_and_no_half_file(number: signal.Signals, code: int, how: str, tmp_path: Path) -> None:
    process = start(how, tmp_path)
    process.send_signal(number)
    out, errors = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "")
    expected = "interrupted" if how == "translated" else "interrupted: run it again"
    assert errors == f"error: {expected}\n"
    assert list(tmp_path.iterdir()) == []


def test_pressed_again_and_again_it_ends_at_once_and_without_a_traceback(tmp_path: Path) -> None:
    process = start("stubborn", tmp_path)
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in errors


def test_who_started_us_without_ctrl_c_keeps_us_without_it(tmp_path: Path) -> None:
    process = start("python", tmp_path, "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n")
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    process.communicate()


def test_a_closed_log_does_not_change_the_code(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(LISTENING + PROGRAM)
    shell = ["bash", "-c", 'exec "$0" "$@" 2>&-', sys.executable, str(program), "calibrate", "python"]
    process = subprocess.Popen(shell, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130


def test_the_demo_does_not_go_on_with_its_next_command(tmp_path: Path) -> None:
    code = LISTENING + "from cmdiad.cli.workstation import main; main()"
    command = [sys.executable, "-c", code, "demo", "d", "--quiet"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while "cmdiad synth" not in process.stdout.readline():
        pass
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "train" not in out
    assert errors == f"error: {Interruption(hint_of(demo)).describe()}\n"


def test_every_command_that_writes_has_a_hint() -> None:
    from cmdiad.cli import line

    commands = {**get_command(workstation.app).commands, **get_command(line.app).commands}  # type: ignore[attr-defined]
    hinted = {name for name, command in commands.items() if hint_of(command.callback)}
    writing = (
        "demo",
        "synth",
        "preprocess",
        "train",
        "export",
        "calibrate",
        "evaluate",
        "fleet",
        "reproduce",
        "features",
        "infer",
        "sign",
    )
    assert hinted == set(writing)
