"""The station: takes parts in the order of their acceptance, inspects them, and gives each its one result.

Requests, for which a machine waits, go before files. A file that was under way when the process before ended is
suspected of it: it goes alone, and from the second time on a process of its own has to survive it first.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..errors import BusyError, EngineError, MachineError, PoisonError
from ..inspection import Inspection
from ..pipeline import pipelined_as_taken
from ..threads import thread_count
from .arrival import Accepted, Arrival, FileVersion, PartRecord
from .inspecting import Answered, InspectingSteps, PartJob
from .journal import Journal
from .products import Loaded, Products
from .recording import record_of
from .result_files import WantedFiles, keep_rejected, write_record
from .suspect import survives

# A part that waits for its next try is looked for this often.
_RETRY_LOOK_SECONDS = 0.25
_DEATHS_BEFORE_PROBE = 2

_log = logging.getLogger("cmdiad.line")

Judge = Callable[[PartRecord, Inspection | None, Loaded | None], PartRecord]


class Source(Protocol):
    """Where parts come from; a new one is a class with these methods, in a file of its own in `sources/`.

    Attributes:
        problem: why nothing can come now; None: it can.
    """

    problem: str | None

    @property
    def name(self) -> str:
        """In the journal, and in every result."""
        ...

    def start(self) -> None:
        """Accept parts from now on, on threads of its own, into the journal or by `Station.submit`."""
        ...

    def stop(self) -> None:
        """Accept nothing more."""
        ...

    def finished(self, version: FileVersion, number: int, is_rejected: bool) -> None:
        """One of its files has its result; a rejected one lies in `rejected/` too."""
        ...

    def as_json(self) -> dict[str, Any]:
        """One object of `/v1/status`: at least `name` and `problem`."""
        ...

    def notices(self) -> list[str]:
        """What is wrong and keeps no part away, in words."""
        ...


@dataclass(frozen=True)
class StationSettings:
    """How a station works.

    Attributes:
        out: the folder of results and of the journal.
        threads: workers that read and write; None: all that this process may use.
        wanted: of which parts files are written.
        tries: how often a file that cannot be inspected is tried.
        retry_seconds: between two tries.
        request_queue: requests that may wait at a time.
    """

    out: Path
    threads: int | None = None
    wanted: WantedFiles = field(default_factory=WantedFiles)
    tries: int = 3
    retry_seconds: float = 2.0
    request_queue: int = 32


class Station:
    """Parts in, results out; `run` is its one loop, and everything else may be called from any thread.

    Attributes:
        settings: how it works.
        failure: what ended it before its time; None: nothing did.
    """

    def __init__(
        self,
        settings: StationSettings,
        journal: Journal,
        products: Products,
        sinks: Sequence[str] = (),
        wanted: Callable[[], WantedFiles] | None = None,
        judged: Judge = lambda record, inspection, loaded: record,
    ) -> None:
        """A station that rests until it runs.

        Args:
            settings: how it works.
            journal: what it takes parts from, and gives results to.
            products: what inspects them.
            sinks: to whom every result is delivered.
            wanted: which files are written, asked for every part; None: as the settings say.
            judged: adds to a result what the line as a whole knows of it, before it is kept.
        """
        self.settings = settings
        self.failure: Exception | None = None
        self._journal, self._products, self._sinks = journal, products, tuple(sinks)
        self._steps = InspectingSteps(products, settings.out, wanted or (lambda: settings.wanted))
        self._judged = judged
        self._sources: Mapping[str, Source] = {}
        self._listeners: list[Callable[[PartRecord, Inspection | None], None]] = []
        self._requests: deque[PartJob] = deque()
        self._answers: dict[int, Future[Answered]] = {}
        self._changed = threading.Condition()
        self._stopping = self._suspect_goes = False
        self._under_way = 0

    def listen(self, listener: Callable[[PartRecord, Inspection | None], None]) -> None:
        """Call someone with every result, after it is in the journal, on the station's thread."""
        self._listeners.append(listener)

    @property
    def waiting_requests(self) -> int:
        """How many requests wait."""
        return len(self._requests)

    @property
    def under_way(self) -> int:
        """How many parts are being inspected."""
        return self._under_way

    def open_requests(self) -> list[int]:
        """The numbers of requests that have no result in the journal yet."""
        with self._changed:
            return list(self._answers)

    def submit(self, arrival: Arrival) -> Future[Answered]:
        """Have a part inspected for someone who waits for the answer.

        Raises:
            BusyError: as many requests wait as may, or the station is being stopped.
            UsageError: there is no such product.
        """
        self._products.named(arrival.product)
        answer: Future[Answered] = Future()
        with self._changed:
            if self._stopping:
                raise BusyError("the line is stopping: try again in a moment")
            if len(self._requests) >= self.settings.request_queue:
                raise BusyError(
                    f"{len(self._requests)} requests are waiting, as many as allowed: try again in a moment"
                )
            accepted = Accepted(self._journal.reserve(), arrival, time.time(), is_kept=False)
            self._requests.append(PartJob(accepted))
            self._answers[accepted.number] = answer
            self._changed.notify_all()
        return answer

    def wake(self) -> None:
        """The journal has new parts."""
        with self._changed:
            self._changed.notify_all()

    def stop(self, failure: Exception | None = None) -> None:
        """Finish what was accepted of requests and is under way, and end; files that wait stay in the journal."""
        with self._changed:
            self.failure = self.failure or failure
            self._stopping = True
            self._changed.notify_all()

    def run(self, sources: Sequence[Source] = ()) -> None:
        """Inspect what comes, until someone stops the station.

        Raises:
            CmdiadError: what ended it: a result cannot be written, or the device is gone; no part is lost.
        """
        self._sources = {source.name: source for source in sources}
        steps, workers = self._steps, thread_count(self.settings.threads)
        try:
            for job in pipelined_as_taken(self._take, self._probed_and_read, steps.inspect, steps.write, workers):
                self._under_way -= 1
                self._conclude(job)
                del job  # else a line that waits holds its last part, and with it a bundle that was replaced
        except BaseException:
            self._give_up()
            raise
        if self.failure is not None:
            raise self.failure

    def _take(self, room: int, is_idle: bool) -> list[PartJob]:
        """What is there, requests first; with nothing under way it waits for something."""
        with self._changed:
            while True:
                jobs = self._next(room, is_idle)
                if jobs or not is_idle or (self._stopping and not self._requests):
                    self._under_way += len(jobs)
                    return jobs
                self._changed.wait(_RETRY_LOOK_SECONDS)

    def _next(self, room: int, is_idle: bool) -> list[PartJob]:
        if self._suspect_goes and not is_idle:
            return []
        kept = [] if self._stopping else self._journal.waiting(room)
        suspects = [accepted for accepted in kept if accepted.deaths]
        self._suspect_goes = bool(suspects)
        if suspects:
            return self._begun(suspects[:1]) if is_idle else []
        requests = [self._requests.popleft() for _ in range(min(room, len(self._requests)))]
        return requests + self._begun(kept[: room - len(requests)])

    def _begun(self, kept: list[Accepted]) -> list[PartJob]:
        if kept:
            self._journal.begin([accepted.number for accepted in kept])
        return [PartJob(accepted) for accepted in kept]

    def _probed_and_read(self, job: PartJob) -> PartJob:
        if job.accepted.deaths >= _DEATHS_BEFORE_PROBE:
            job = job.then(self._probed)
        return self._steps.read(job)

    def _probed(self, job: PartJob) -> PartJob:
        product, path = self._products.named(job.accepted.arrival.product), job.accepted.arrival.path
        assert path is not None
        survives(product.path, path, self._products.settings)
        return job

    def _conclude(self, job: PartJob) -> None:
        """Give a part its result, or another try."""
        accepted, error = job.accepted, job.error
        if isinstance(error, EngineError) and accepted.deaths < _DEATHS_BEFORE_PROBE:
            # The device's fault and not the part's, as long as nothing says otherwise: the line starts anew.
            raise error
        may_try_again = accepted.is_kept and not isinstance(error, PoisonError)
        if error is not None and may_try_again and accepted.tries + 1 < self.settings.tries:
            self._journal.put_back(accepted.number, time.time() + self.settings.retry_seconds)
            _log.info("part %d is tried again: %s", accepted.number, error)
            return
        record = self._judged(record_of(job), job.inspection, job.loaded)
        if accepted.is_kept:
            write_record(self.settings.out, job.stem, record)
            if error is not None:
                keep_rejected(self.settings.out, job.stem, record, accepted.arrival.path)
        self._journal.finish(accepted, record, self._sinks)
        self._tell(job, record)

    def _tell(self, job: PartJob, record: PartRecord) -> None:
        arrival = job.accepted.arrival
        answer = self._answers.pop(record.number, None)
        if answer is not None:
            answer.set_result(Answered(record, job.inspection))
        source = self._sources.get(arrival.source)
        if source is not None and arrival.version is not None:
            source.finished(arrival.version, record.number, is_rejected=job.error is not None)
        for listener in self._listeners:
            listener(record, job.inspection)

    def _give_up(self) -> None:
        """Whoever waits for an answer gets none, and is told."""
        with self._changed:
            self._stopping = True
            self._requests.clear()
            answers, self._answers = self._answers, {}
        for answer in answers.values():
            answer.set_exception(MachineError("the line stopped before this part was inspected: send it again"))
