"""Every configuration in a fresh process, one after the other; a stop from outside keeps what was measured."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ... import errors
from ...bundle.signature import TrustedKeys
from ...child_python import child_environment
from ...errors import CmdiadError
from ...files.json_encoding import encode_own_json
from ...progress import Progress
from .configuration import Configuration, Skipped
from .report import MeasuredConfiguration
from .scenarios import Plan, Scenario
from .worker import Message, Order

# How long a process may take to finish what it is at, after it was told to stop; a second Ctrl-C ends it at once.
GRACE_S = 120.0
EXIT_S = 10.0


@dataclass(frozen=True)
class Job:
    """What is the same for every configuration; see `worker.Order`."""

    scenarios: Sequence[Scenario]
    plan: Plan
    scans: Sequence[Path]
    loadgen: Path | None = None
    test: Path | None = None
    trusted: TrustedKeys | None = None


@dataclass
class MatrixRun:
    """What came back so far.

    Attributes:
        outcomes, skipped: of the configurations that could be run, and could not.
        interrupted: whether the user ended it early.
    """

    outcomes: list[MeasuredConfiguration] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    interrupted: bool = False


def run_matrix(
    configurations: Sequence[Configuration], labels: Sequence[str], job: Job, progress: Progress
) -> tuple[MatrixRun, CmdiadError | None]:
    """Measure each configuration; Ctrl-C ends the one in work and leaves out the others.

    Returns:
        What was measured, and the first error of a configuration, as it was raised there.
    """
    run, first_error = MatrixRun(), None
    for configuration, label in zip(configurations, labels, strict=True):
        if run.interrupted:
            run.skipped.append(Skipped(configuration=configuration, reason="interrupted before its turn"))
            continue
        with tempfile.TemporaryDirectory(prefix="cmdiad-bench-") as scratch:
            order = _order(configuration, label, job, scratch)
            outcome, error, interrupted = run_fresh(order, _naming(label, progress))
        run.interrupted = interrupted
        if outcome is not None:
            run.outcomes.append(outcome)
        else:
            reason = str(error) if error else "interrupted before its first result"
            run.skipped.append(Skipped(configuration=configuration, reason=reason))
        first_error = first_error or error
    return run, first_error


def run_fresh(order: Order, progress: Progress) -> tuple[MeasuredConfiguration | None, CmdiadError | None, bool]:
    """Carry out one order in a process of its own.

    Returns:
        Its outcome, if there is any; its error, if it had one; whether Ctrl-C ended it.
    """
    # A process group of its own: Ctrl-C reaches us alone, and we end the measurement in good order.
    process = subprocess.Popen(
        [sys.executable, "-m", __package__ + ".worker"],
        env=child_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )
    inbox = _Inbox(progress)
    threading.Thread(target=inbox.read_all, args=(process,), daemon=True).start()
    assert process.stdin is not None
    interrupted = False
    try:
        process.stdin.write(encode_own_json(order))
        process.stdin.flush()
        # An event, for Ctrl-C in Thread.join may leave a live thread marked as ended (CPython 3.11).
        while not inbox.ended.wait(0.2):
            pass
    except KeyboardInterrupt:
        interrupted = True
        _finish(process, inbox)
    except BrokenPipeError:
        inbox.ended.wait()
    finally:
        if process.poll() is None:
            _finish(process, inbox)
    error = inbox.error or (None if inbox.done or interrupted else _died(process))
    if inbox.outcome is not None and error is not None:
        return _unfinished(inbox.outcome, error), None, interrupted
    return inbox.outcome, error, interrupted


class _Inbox:
    """Reads a worker's messages on a thread, so that Ctrl-C cannot tear one apart."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.outcome: MeasuredConfiguration | None = None
        self.error: CmdiadError | None = None
        self.done = False
        self.ended = threading.Event()

    def read_all(self, process: subprocess.Popen[bytes]) -> None:
        """Take messages until there are no more."""
        assert process.stdout is not None
        try:
            with process.stdout as lines:
                for line in lines:
                    self._take(msgspec.json.decode(line, type=Message))
        finally:
            self.ended.set()

    def _take(self, message: Message) -> None:
        self.done = self.done or message.done
        self.outcome = message.outcome or self.outcome
        if message.progress is not None:
            self._progress(*message.progress)
        if message.error is not None:
            kind, text = message.error
            self.error = getattr(errors, kind)(text)


def _finish(process: subprocess.Popen[bytes], inbox: _Inbox) -> None:
    """Tell a worker to stop by closing its input, and end it if it does not; a second Ctrl-C ends it at once."""
    assert process.stdin is not None
    with suppress(BrokenPipeError, KeyboardInterrupt):
        process.stdin.close()
        inbox.ended.wait(GRACE_S)
    try:
        process.wait(EXIT_S if inbox.ended.is_set() else 0.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    inbox.ended.wait()


def _died(process: subprocess.Popen[bytes]) -> CmdiadError:
    return errors.EngineError(
        f"the measuring process ended with code {process.returncode} before it was done: see its messages above"
    )


def _unfinished(outcome: MeasuredConfiguration, error: CmdiadError) -> MeasuredConfiguration:
    """What was measured before an error, with the error beside it."""
    return msgspec.structs.replace(outcome, not_run={**outcome.not_run, "what follows": str(error)})


def _order(configuration: Configuration, label: str, job: Job, scratch: str) -> Order:
    return Order(
        configuration=configuration,
        scenarios=list(job.scenarios),
        plan=job.plan,
        scans=[str(scan) for scan in job.scans],
        scratch=scratch,
        loadgen=None if job.loadgen is None else str(job.loadgen / label.replace(" ", "-")),
        test=None if job.test is None else str(job.test),
        trusted=None if job.trusted is None else [key.raw for key in job.trusted.keys],
        spawned_unix_s=time.time(),
    )


def _naming(label: str, progress: Progress) -> Progress:
    """Progress whose stages say which configuration is at work."""
    return lambda stage, *news: progress(f"{label}: {stage}", *news)
