"""What a command prints, and its exit code, whatever is behind standard output and standard error."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cmdiad.cli.streams import Output, write_all
from cmdiad.runtime.files.json_encoding import encode_json, escape_name
from hypothesis import given
from hypothesis import strategies as st

posix = pytest.mark.skipif(os.name != "posix", reason="closes and duplicates descriptors")
# Three results; between them a library prints from Python and from C, warns, logs, and makes progress.
PROGRAM = """
import contextlib, logging, os, sys, warnings
from cmdiad.cli import console, entry
from cmdiad.runtime.errors import ScanError
app = entry.new_app("An app.")

@app.callback()
def root() -> None: pass

@app.command()
def work(json: bool = False, end: str = "", name: str = "x", count: int = 3) -> None:
    with console.progress_display(False) as progress:
        for number in range(count):
            print("*** EP Error ***")
            with contextlib.suppress(OSError):  # C ignores what it cannot print
                os.write(1, b"*** from C ***\\n")
            warnings.warn("careful", stacklevel=2)
            logging.getLogger("library").warning("odd")
            console.emit_json({"scan": name, "number": number}) if json else console.emit(f"{name} {number}")
            progress("work", number, count, name)
    console.complain(f"about {name}")
    open("done", "w").close()
    if end == "bug":
        raise ValueError("oh")
    if end == "scan":
        raise ScanError("bad")
    if end:
        sys.exit(int(end))

entry.run(app, "cmdiad")
"""


def run(redirection: str, *arguments: str, folder: Path, **environment: str) -> tuple[int, bytes, bytes]:
    """Run the program below a shell that redirects its streams."""
    program = folder / "program.py"
    program.write_text(PROGRAM)
    command = 'exec "$0" "$@" ' + redirection
    answer = subprocess.run(
        ["bash", "-c", command, sys.executable, str(program), "work", *arguments],
        capture_output=True,
        cwd=folder,
        check=False,
        env={**os.environ, **environment},
    )
    assert (folder / "done").exists(), answer.stderr.decode(errors="replace")
    return answer.returncode, answer.stdout, answer.stderr


@posix
@pytest.mark.parametrize("end", [0, 1, 3, 4, 6, 70])
@pytest.mark.parametrize("redirection", ["", "2>/dev/full", "2>&-", "0<&-", "0<&- 2>&-"])
def test_standard_error_never_changes_the_code_nor_the_results(redirection: str, end: int, tmp_path: Path) -> None:
    code, out, _ = run(redirection, "--json", "--end", "bug" if end == 70 else str(end), folder=tmp_path)
    assert code == end
    assert [json.loads(line)["number"] for line in out.splitlines()] == [0, 1, 2]


@posix
@pytest.mark.parametrize("redirection", [">&-", ">&- 2>&-", ">&- 2>/dev/full", ">/dev/null"])
@pytest.mark.parametrize("end", [0, 1, 3, 70])
def test_nobody_who_reads_the_results_is_no_error(redirection: str, end: int, tmp_path: Path) -> None:
    assert run(redirection, "--end", "bug" if end == 70 else str(end), folder=tmp_path)[0] == end


@posix
@pytest.mark.parametrize(("end", "code"), [("0", 74), ("1", 74), ("3", 74), ("scan", 74), ("4", 4), ("bug", 70)])
@pytest.mark.parametrize("redirection", ["1>/dev/full", "1>/dev/full 2>/dev/full"])
def test_results_that_cannot_be_written_have_a_code_of_their_own(
    redirection: str, end: str, code: int, tmp_path: Path
) -> None:
    found, _, messages = run(redirection, "--end", end, folder=tmp_path)
    assert found == code
    if "2>" not in redirection:
        assert messages.count(b"standard output: No space left on device") == 1


@posix
@pytest.mark.parametrize("end", ["0", "1"])
def test_a_reader_that_leaves_early_changes_nothing(end: str, tmp_path: Path) -> None:
    code, out, messages = run("| (head -n 1; sleep 0.2); exit ${PIPESTATUS[0]}", "--end", end, folder=tmp_path)
    assert (code, out) == (int(end), b"x 0\n") and b"Traceback" not in messages


@posix
@pytest.mark.parametrize("json_too", [True, False])
def test_what_libraries_print_is_not_on_standard_output(json_too: bool, tmp_path: Path) -> None:
    _, out, messages = run("", *(["--json"] if json_too else []), folder=tmp_path)
    assert len(out.splitlines()) == 3 and b"***" not in out
    assert messages.count(b"*** EP Error ***") == messages.count(b"*** from C ***") == 3
    assert b"warning: careful" in messages and b"work: 0 of 3 x" in messages


@posix
@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "C.UTF-8"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "utf-16"},
        {"PYTHONIOENCODING": "cp1252:strict"},
    ],
)
@pytest.mark.parametrize("name", [b"teil_\xfc.tiff", "größe_ü.tiff".encode(), "部品.tiff".encode()])
def test_any_name_can_be_printed_in_any_locale(name: bytes, locale: dict[str, str], tmp_path: Path) -> None:
    argument = os.fsdecode(name)
    code, out, _ = run("", "--json", "--name", argument, folder=tmp_path, **locale)
    scans = {json.loads(line)["scan"] for line in out.decode("utf-8").splitlines()}
    assert code == 0 and scans == {escape_name(argument)}
    code, out, messages = run("", "--name", argument, folder=tmp_path, **locale)
    assert code == 0 and out and b"about" in messages.replace(b"\0", b"")


@posix
def test_every_line_is_there_as_soon_as_it_is_printed(tmp_path: Path) -> None:
    program = PROGRAM.replace('            progress("work"', '            input()\n            progress("work"')
    command = [sys.executable, "-c", program, "work", "--json"]
    process = subprocess.Popen(command, cwd=tmp_path, stdin=-1, stdout=-1, stderr=subprocess.DEVNULL)
    assert process.stdin is not None and process.stdout is not None
    with process:
        for number in range(3):
            assert json.loads(process.stdout.readline())["number"] == number
            process.stdin.write(b"\n")
            process.stdin.flush()
    assert process.returncode == 0


@posix
def test_a_pipe_that_its_other_end_made_non_blocking_gets_everything() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    data = os.urandom(1 << 20)
    child = os.fork()
    if child == 0:
        os.close(reading)
        write_all(writing, data)
        os._exit(0)
    os.close(writing)
    time.sleep(0.05)  # the pipe is full by now
    with os.fdopen(reading, "rb") as stream:
        assert stream.read() == data
    assert os.waitpid(child, 0)[1] == 0


@posix
def test_after_a_failure_nothing_more_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    failing = [False, True, False]

    def write(descriptor: int, data: memoryview) -> int:
        if failing.pop(0):
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(bytes(data))
        return len(data)

    monkeypatch.setattr(os, "write", write)
    output = Output(99, "utf-8")
    assert [output.write(line) for line in (b"one\n", b"two\n", b"three\n")] == [True, False, True]
    assert written == [b"one\n"] and output.failure is not None


@given(st.text(st.characters(codec=None, categories=None), max_size=20))
def test_any_text_can_be_json_and_only_lone_surrogates_change(text: str) -> None:
    decoded = json.loads(encode_json({text: [text, {"more": text}]}))
    assert decoded == {escape_name(text): [escape_name(text), {"more": escape_name(text)}]}
    try:
        text.encode()
    except UnicodeEncodeError:
        escape_name(text).encode()
    else:
        assert escape_name(text) == text


@given(st.binary(max_size=20).filter(lambda name: b"\0" not in name))
def test_bytes_that_are_not_utf8_are_written_out(name: bytes) -> None:
    expected = "".join(
        f"\\x{ord(character) - 0xDC00:02x}" if "\udc80" <= character <= "\udcff" else character
        for character in name.decode("utf-8", "surrogateescape")
    )
    assert escape_name(name.decode("utf-8", "surrogateescape")) == expected
