"""A forked command ends as one that was started does, and leaves nothing behind for the next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .forked_commands import run_code

BEFORE = "import json"


@pytest.mark.parametrize(
    "code",
    [
        "print('out'); import sys; print('err', file=sys.stderr)",
        "import os; os.write(1, b'one'); os.write(2, b'two')",
        "import sys; print(sys.argv, __name__); print(sys.stdin.read()); sys.exit(7)",
        "import os; print(os.getcwd(), os.environ['WORD'])",
        "import sys; sys.exit(None)",
        "import sys; sys.exit('words')",
        "import os; os._exit(9)",
        f"import os; os.kill(os.getpid(), {int(signal.SIGTERM)})",
        "import threading, time; threading.Thread(target=lambda: (time.sleep(0.05), print('late'))).start()",
        "import atexit; atexit.register(print, 'at the end'); print('before')",
    ],
    ids=["text", "bytes", "arguments", "place", "none", "words", "at once", "signal", "thread", "atexit"],
)
def test_it_prints_and_ends_as_in_an_interpreter_of_its_own(code: str, tmp_path: Path) -> None:
    words = ["-x", "größe", os.fsdecode(b"\xfc")]
    started = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        env={**os.environ, "WORD": "ä"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    forked = run_code(code, *words, cwd=tmp_path, before=BEFORE, environment={"WORD": "ä"})
    assert (forked.returncode, forked.stdout, forked.stderr) == (started.returncode, started.stdout, started.stderr)


def test_an_error_that_nobody_catches_is_code_one_and_its_traceback(tmp_path: Path) -> None:
    failed = run_code("1 / 0", cwd=tmp_path, before=BEFORE)
    assert failed.returncode == 1 and failed.stdout == "" and "ZeroDivisionError" in failed.stderr


def test_a_command_sees_nothing_of_those_before_it(tmp_path: Path) -> None:
    code = "import json, os; print(hasattr(json, 'left'), 'LEFT' in os.environ); json.left = os.environ['LEFT'] = 'x'"
    assert [run_code(code, cwd=tmp_path, before=BEFORE).stdout for _ in range(2)] == ["False False\n"] * 2
