"""`watch`, `serve` and `history` as a user meets them: processes, files, signals, exit codes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cmdiad.runtime.files.audit import AUDIT_FILE, AuditEntry, append_audit
from cmdiad.runtime.files.ownership import claimed

from ..forked_commands import run_command

COMMAND = [sys.executable, "-c", "from cmdiad.cli.line import main; main()"]
PATIENCE_SECONDS = 60.0


def wait_until(happens: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happens():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.05)


@contextmanager
def running(*arguments: object, cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command whose standard output and error go to files in its folder; killed at the end of the block."""
    with (cwd / "stdout").open("wb") as out, (cwd / "stderr").open("wb") as err:
        process = subprocess.Popen([*COMMAND, *map(str, arguments)], cwd=cwd, stdout=out, stderr=err)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def rows(folder: Path) -> list[dict[str, object]]:
    """The JSON lines printed so far."""
    lines = (folder / "stdout").read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


@pytest.fixture
def scans(synth_data: Path) -> list[Path]:
    return sorted((synth_data / "gland" / "test").glob("*/xyz/*.tiff"))[:3]


@pytest.mark.slow
def test_watch_inspects_what_arrives_ends_on_a_signal_and_goes_on_where_it_ended(
    calibrated_bundle: Path, scans: list[Path], tmp_path: Path
) -> None:
    place = tmp_path / "in"
    place.mkdir()
    arguments = ("watch", "in", "--out", "out", "--bundle", calibrated_bundle, "--settle", "0", "--after", "move")
    (place / "a.tiff").write_bytes(scans[0].read_bytes())
    with running(*arguments, "--json", cwd=tmp_path) as process:
        wait_until(lambda: len(rows(tmp_path)) == 1, "the first result")
        (place / ".b").write_bytes(scans[1].read_bytes())
        (place / ".b").rename(place / "b.tiff")
        wait_until(lambda: len(rows(tmp_path)) == 2, "the second result")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0
    (place / "c.tiff").write_bytes(b"not a scan")
    with running(*arguments, "--tries", "1", "--json", cwd=tmp_path) as process:
        wait_until(lambda: len(rows(tmp_path)) == 1, "the third result")
        (third,) = rows(tmp_path)
        assert third["product"] == "gland"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 0
    assert (third["number"], third["verdict"]) == (3, "error")
    assert sorted(path.name for path in (tmp_path / "in-done").iterdir()) == ["000001_a.tiff", "000002_b.tiff"]
    assert sorted(path.name for path in (tmp_path / "out" / "rejected").iterdir()) == [
        "000003_c.tiff",
        "000003_c.tiff.reason.json",
    ]
    printed = subprocess.run(
        [*COMMAND, "history", "--out", "out"], cwd=tmp_path, capture_output=True, check=True
    ).stdout
    assert [line.split()[0] for line in printed.decode().splitlines()[2:]] == ["3", "2", "1"]


@pytest.mark.slow
def test_serve_answers_finishes_what_it_took_and_takes_a_new_bundle_over(
    calibrated_bundle: Path, scans: list[Path], tmp_path: Path
) -> None:
    pytest.importorskip("fastapi")
    import shutil

    shutil.copytree(calibrated_bundle, tmp_path / "bundle")
    port = free_port()
    (tmp_path / "line.toml").write_text(
        f'[[product]]\nname = "gland"\nbundle = "bundle"\n[http]\nport = {port}\n[log]\nfile = "log.jsonl"\n'
    )

    def ask(path: str, body: bytes | None = None) -> tuple[int, dict[str, object]]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", body, PATIENCE_SECONDS) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def is_ready() -> bool:
        try:
            return ask("/readyz")[0] == 200
        except OSError:
            return False

    with running("serve", "line.toml", cwd=tmp_path) as process:
        wait_until(is_ready, "readiness")
        code, first = ask("/v1/inspect?part_id=A", scans[0].read_bytes())
        assert (code, first["part_id"]) == (200, "A")
        broken = tmp_path / "bundle" / "manifest.json"
        good = broken.read_bytes()
        new = tmp_path / "new"
        new.write_bytes(good[:100])
        new.rename(broken)
        wait_until(lambda: ask("/v1/status")[1]["problems"], "the complaint about a broken bundle")
        assert ask("/v1/inspect", scans[0].read_bytes())[1]["score"] == first["score"]
        new.write_bytes(good)
        new.rename(broken)
        wait_until(lambda: not ask("/v1/status")[1]["problems"], "the bundle's recovery")
        begun = (tmp_path / "line.toml").read_text()
        (tmp_path / "line.toml").write_text(f"{begun}# another product\n")
        wait_until(lambda: "line.toml has changed" in str(ask("/v1/status")[1]["problems"]), "the changed file")
        (tmp_path / "line.toml").write_text(begun)
        wait_until(lambda: not ask("/v1/status")[1]["problems"], "the file as it was")
        assert ask("/v1/inspect", b"rubbish")[0] == 422
        assert len(ask("/v1/history")[1]["parts"]) == 3  # type: ignore[arg-type]
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["verdict"] for line in log if "verdict" in line][-1] == "error"


def test_a_line_file_is_checked_without_serving(calibrated_bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    text = f'[[product]]\nname = "gland"\nbundle = {json.dumps(str(calibrated_bundle))}\n[line]\nout = "out"\n'
    (tmp_path / "line.toml").write_text(f"{text}[http]\nport = {free_port()}\n")
    done = run_command("cmdiad-rt", "serve", "--check", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "everything opens: products gland" in done.stdout
    extended = text + f'[[folder]]\npath = "in comming"\n[log]\nfile = "logs/log"\n[http]\nport = {free_port()}\n'
    (tmp_path / "line.toml").write_text(extended)
    done = run_command("cmdiad-rt", "serve", "--check", cwd=tmp_path)
    assert done.returncode == 0 and "in comming does not exist and will be created: correct its path" in done.stderr
    (tmp_path / "line.toml").write_text(extended.replace('"gland"', '"lid"'))
    done = run_command("cmdiad-rt", "serve", "--check", cwd=tmp_path)
    assert done.returncode == 0 and "warning: product 'lid': its bundle, " in done.stderr
    assert "is of product 'gland'" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["line.toml"], "a check leaves nothing behind"
    (tmp_path / "line.toml").write_text(text + "port = 1\n")
    done = run_command("cmdiad-rt", "serve", "--check", cwd=tmp_path)
    assert done.returncode == 2
    assert "unknown field `port`" in done.stderr


@pytest.mark.parametrize("option", ["--check", "--json"])
def test_a_port_that_is_in_use_is_named(calibrated_bundle: Path, tmp_path: Path, option: str) -> None:
    pytest.importorskip("fastapi")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (tmp_path / "line.toml").write_text(
            f'[[product]]\nname = "gland"\nbundle = {json.dumps(str(calibrated_bundle))}\n[http]\nport = {port}\n'
        )
        done = run_command("cmdiad-rt", "serve", option, cwd=tmp_path)
    assert done.returncode == 71
    errors = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    (error,) = errors
    assert error.startswith(f"error: [http]: port {port} of 127.0.0.1 is in use: stop the program that listens there")


def test_a_check_changes_nothing_in_a_journal_that_is_there(calibrated_bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    from cmdiad.runtime.service.arrival import Arrival
    from cmdiad.runtime.service.journal import Journal

    (tmp_path / "line.toml").write_text(
        f'[[product]]\nname = "gland"\nbundle = {json.dumps(str(calibrated_bundle))}\n[line]\nout = "out"\n'
        f"[http]\nport = {free_port()}\n"
    )
    journal = Journal(tmp_path / "out")
    journal.begin(journal.accept([Arrival("folder", "a.tiff", tmp_path / "a.tiff")]))
    journal.close()
    before = sorted(path.name for path in (tmp_path / "out").iterdir())
    done = run_command("cmdiad-rt", "serve", "--check", cwd=tmp_path)
    assert done.returncode == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == before
    again = Journal(tmp_path / "out")
    (waiting,) = again.waiting(9)
    again.close()
    assert waiting.deaths == 1, "the check is not taken for a process that the part ended"
    (tmp_path / "out" / "journal.sqlite").write_bytes(b"not a journal" * 100)
    done = run_command("cmdiad-rt", "serve", "--check", cwd=tmp_path)
    assert done.returncode == 74 and "journal.sqlite: cannot be read" in done.stderr


def test_a_changed_file_is_checked_while_its_line_runs(calibrated_bundle: Path, tmp_path: Path) -> None:
    """What the running line holds is said, and is no reason against the file; what others hold is."""
    pytest.importorskip("fastapi")
    from cmdiad.runtime.service.journal import Journal
    from cmdiad.runtime.service.sources.folder_hold import LOCK

    (tmp_path / "incoming").mkdir()
    journal = Journal(tmp_path / "out")
    (tmp_path / "incoming" / LOCK).write_text("4711 on another machine\n")
    with socket.socket() as taken, (tmp_path / "incoming" / LOCK).open("a+b") as folder_lock:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (tmp_path / "line.toml").write_text(
            f'[[product]]\nname = "gland"\nbundle = {json.dumps(str(calibrated_bundle))}\n[line]\nout = "out"\n'
            f'[[folder]]\npath = "incoming"\n[http]\nport = {port}\n'
        )
        done = run_command("cmdiad-rt", "serve", "--check", cwd=tmp_path)
        assert done.returncode == 0 and "everything opens" in done.stdout, done.stderr
        assert f"process {os.getpid()} on " in done.stderr
        assert "already: if that is this line, stop it before this file is served" in done.stderr
        assert f"port {port} of 127.0.0.1 is in use" in done.stderr and "nothing is to be done" in done.stderr
        assert claimed(tmp_path / "incoming" / LOCK, folder_lock.fileno()) is True
        done = run_command("cmdiad-rt", "serve", "--check", cwd=tmp_path)
        assert done.returncode == 2 and "process 4711 on another machine works in this folder already" in done.stderr
    journal.close()


def test_two_tables_of_a_changed_file_that_share_a_port_are_refused_while_its_line_runs(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    from cmdiad.runtime.service.journal import Journal

    journal, port = Journal(tmp_path / "out"), free_port()
    (tmp_path / "line.toml").write_text(
        f'[[product]]\nname = "gland"\nbundle = "bundle"\n[line]\nout = "out"\n[http]\nport = {port}\n'
        f'[[opcua]]\nname = "cell"\nhost = "127.0.0.1"\nport = {port}\nanonymous = true\n'
    )
    done = run_command("cmdiad-rt", "serve", "--check", cwd=tmp_path)
    journal.close()
    assert done.returncode == 71, done.stderr
    assert f"[[opcua]] 'cell': port {port} of 127.0.0.1 is in use" in done.stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def audit(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_command("cmdiad-rt", "history", "--out", ".", "--audit", *arguments, cwd=folder)


def test_history_audit_shows_who_changed_which_bundle_and_refuses_a_trail_that_was_changed(tmp_path: Path) -> None:
    assert audit(tmp_path).returncode == 2
    trail = tmp_path / AUDIT_FILE
    for after in ("1" * 64, "2" * 64, "3" * 64):
        append_audit(trail, AuditEntry.now("swap", (), None, after, details={"product": "lid"}))
    table = audit(tmp_path, "--limit", "2").stdout
    assert "222222222222" in table and "333333333333" in table and "111111111111" not in table
    assert "product lid" in table and "3 entries, each follows the one before" in table
    newest = json.loads(audit(tmp_path, "--format", "json").stdout.splitlines()[0])
    assert (newest["number"], newest["bundle_after"]) == (3, "3" * 64)
    refused = audit(tmp_path, "--verdict", "defect")
    assert refused.returncode == 2 and "leave out the rest" in refused.stderr
    trail.write_bytes(trail.read_bytes().replace(b"2" * 64, b"4" * 64))
    changed = audit(tmp_path)
    assert changed.returncode == 4 and "does not follow the one before it" in changed.stderr


def test_history_without_a_journal_is_refused(tmp_path: Path) -> None:
    done = run_command("cmdiad-rt", "history", cwd=tmp_path)
    assert done.returncode == 2
    assert "there is no journal.sqlite here" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_a_second_watch_in_the_same_place_is_refused(calibrated_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    arguments = ("watch", "in", "--out", "out", "--bundle", calibrated_bundle)
    with running(*arguments, cwd=tmp_path):
        wait_until(lambda: b"watching" in (tmp_path / "stdout").read_bytes(), "the first one's start")
        done = run_command("cmdiad-rt", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "works in this folder already" in done.stderr
