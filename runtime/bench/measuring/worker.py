"""What runs in the fresh process of one configuration: an order comes on standard input, messages go out as JSON lines.

The parent ends a measurement early by closing our standard input: what was measured until then is sent all the same.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from ...bundle.key_files import PublicKey
from ...bundle.reading import Bundle, open_bundle
from ...bundle.signature import TrustedKeys
from ...errors import CmdiadError
from ...files.json_encoding import decode_own_json, encode_json
from ...inspector import Inspector, goes_side_by_side
from ...plain_warnings import say_warnings_plainly
from ...sensor.dataset import data_digest
from .configuration import Configuration
from .driver import Recording, SystemUnderTest, WallClock, drive
from .loadgen import SCENARIOS, run_loadgen
from .monitor import Monitor
from .nvidia import Nvidia, open_nvidia
from .quality import measure_quality
from .reduced_banks import write_reduced
from .report import MeasuredConfiguration, Result, make_result
from .roofline import device_roof, measure_work
from .scenarios import Plan, Scenario
from .server import highest_rate
from .system import BundleUnderTest, open_inspector, timing_conditions
from .yardstick import make_yardstick

WARMUP_PARTS = 3
WARMUP_S = 1.0


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to measure.

    Attributes:
        scans: files to inspect, over and over in this order.
        scratch: a folder for copies, this process's own.
        loadgen: where LoadGen's logs go; None: it is not asked.
        test: a class folder with labeled test scans; None: quality is not measured.
        trusted: public keys one of which must have signed the bundle; None: it need not be signed.
        spawned_unix_s: when the parent started this process.
    """

    configuration: Configuration
    scenarios: list[Scenario]
    plan: Plan
    scans: list[str]
    scratch: str
    loadgen: str | None = None
    test: str | None = None
    trusted: list[bytes] | None = None
    spawned_unix_s: float


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line to the parent; exactly one field is set.

    Attributes:
        progress: see `progress.Progress`.
        outcome: all that is known so far; the last one counts.
        error: (class of the error, its message): the configuration cannot be measured.
        done: nothing follows.
    """

    progress: tuple[str, int, int, str] | None = None
    outcome: MeasuredConfiguration | None = None
    error: tuple[str, str] | None = None
    done: bool = False


Send = Callable[[Message], None]


def main() -> None:
    """Take one order, measure, and answer."""
    say_warnings_plainly()
    send = _claim_stdout()
    order = decode_own_json(sys.stdin.buffer.readline(), Order)
    stop = threading.Event()
    threading.Thread(target=_watch_parent, args=(stop,), daemon=True).start()
    try:
        Measurement(order, stop, send).run()
    except CmdiadError as error:
        send(Message(error=(type(error).__name__, str(error))))
    send(Message(done=True))


class Measurement:
    """One order being carried out."""

    def __init__(self, order: Order, stop: threading.Event, send: Send) -> None:
        self._order, self._stop, self._send = order, stop, send
        self._clock = WallClock(stop)

    def run(self) -> None:
        """Open the bundle, warm up, measure one scenario after the other, and send what is known after each.

        Raises:
            CmdiadError: this configuration cannot be run here.
        """
        order, since = self._order, self._since_start
        bundle = self._open_bundle()
        inspector = open_inspector(order.configuration, bundle)
        opened_s = since()
        scans = [Path(scan) for scan in order.scans]
        system = self._system(inspector)
        system.process([0])
        first_result_s = since()
        nvidia, gpu_missing = open_nvidia(order.configuration.provider)
        parts, seconds = self._warm_up(system)
        outcome = MeasuredConfiguration(
            configuration=order.configuration,
            product=bundle.manifest.product,
            bundle_digest=bundle.manifest.digest,
            n_scans=len(scans),
            scans_digest=data_digest(scans),
            opened_s=opened_s,
            first_result_s=first_result_s,
            warmup_parts=parts,
            warmup_s=seconds,
            conditions=timing_conditions(order.configuration),
            gpu=None if nvidia is None else nvidia.describe(),
            gpu_missing=gpu_missing,
        )
        outcome = self._measure_all(system, bundle, outcome, nvidia)
        self._complete(inspector, outcome)

    def _since_start(self) -> float:
        return time.time() - self._order.spawned_unix_s

    def _open_bundle(self) -> Bundle:
        configuration = self._order.configuration
        keys = self._order.trusted
        trusted = None if keys is None else TrustedKeys(tuple(PublicKey(raw) for raw in keys))
        bundle = open_bundle(configuration.bundle, trusted)
        if configuration.coreset is None:
            return bundle
        reduced = Path(self._order.scratch) / "bundle"
        write_reduced(bundle, configuration.coreset, reduced)
        return open_bundle(reduced)

    def _warm_up(self, system: SystemUnderTest) -> tuple[int, float]:
        """Every scan once, and more until enough parts and seconds are spent; (parts, seconds)."""
        begin, parts = time.perf_counter(), 0
        while parts < max(WARMUP_PARTS, system.n_scans) or time.perf_counter() - begin < WARMUP_S:
            system.process([parts % system.n_scans])
            parts += 1
            if self._stop.is_set():
                break
            self._report("warm-up", min(parts, system.n_scans), system.n_scans)
        return parts, time.perf_counter() - begin

    def _system(self, inspector: Inspector) -> BundleUnderTest:
        scans, out = [Path(scan) for scan in self._order.scans], Path(self._order.scratch) / "inspections"
        return BundleUnderTest(inspector, scans, out, self._order.configuration.heatmaps)

    @contextmanager
    def _system_for(self, scenario: Scenario, system: SystemUnderTest, bundle: Bundle) -> Iterator[SystemUnderTest]:
        """As `infer` opens the bundle: for one part after the other, or for many side by side, warmed up again."""
        configuration = self._order.configuration
        many = scenario.name == "offline" and goes_side_by_side(configuration.provider, configuration.batch)
        if self._stop.is_set() or not many:
            yield system
            return
        with open_inspector(configuration, bundle, side_by_side=True) as inspector:
            for_many = self._system(inspector)
            for _ in for_many.stream(range(for_many.n_scans)):
                pass
            yield for_many

    def _measure_all(
        self, system: SystemUnderTest, bundle: Bundle, outcome: MeasuredConfiguration, nvidia: Nvidia | None
    ) -> MeasuredConfiguration:
        for scenario in self._order.scenarios:
            with self._system_for(scenario, system, bundle) as suited:
                outcome = self._measure_one(suited, scenario, outcome, nvidia)
        return outcome

    def _measure_one(
        self, system: SystemUnderTest, scenario: Scenario, outcome: MeasuredConfiguration, nvidia: Nvidia | None
    ) -> MeasuredConfiguration:
        """One scenario, by LoadGen too where that was asked for; what is known then is sent."""
        try:
            result = self._measure(system, scenario, nvidia)
        except NotMeasured as reason:
            outcome = msgspec.structs.replace(outcome, not_run={**outcome.not_run, scenario.name: str(reason)})
            self._send(Message(outcome=outcome))
            return outcome
        before = outcome.results
        outcome = msgspec.structs.replace(outcome, results=[*before, result])
        # Sent before LoadGen begins, which cannot be stopped: an impatient user keeps our own figures.
        self._send(Message(outcome=outcome))
        if self._order.loadgen is not None and scenario.name in SCENARIOS and not self._stop.is_set():
            outcome = msgspec.structs.replace(outcome, results=[*before, self._with_loadgen(system, result)])
            self._send(Message(outcome=outcome))
        return outcome

    def _measure(self, system: SystemUnderTest, scenario: Scenario, nvidia: Nvidia | None) -> Result:
        """One scenario by our own driver.

        Raises:
            NotMeasured: there is nothing to report.
        """
        if self._stop.is_set():
            raise NotMeasured("interrupted before its turn")
        with Monitor(nvidia) as monitor:
            scenario, recording = self._drive(system, scenario)
        if not recording.calls:
            raise NotMeasured("interrupted before its first part was done")
        return make_result(scenario, recording, monitor.readings(sum(call.parts for call in recording.calls)))

    def _with_loadgen(self, system: SystemUnderTest, result: Result) -> Result:
        """The same scenario under LoadGen, beside our own figures."""
        assert self._order.loadgen is not None
        scenario = result.scenario
        self._report(f"{scenario.name} (LoadGen)", 0, 1)
        alone_s = result.summary.p50_s / scenario.parts_a_query
        folder = Path(self._order.loadgen) / scenario.name
        return msgspec.structs.replace(result, loadgen=run_loadgen(system, scenario, self._order.plan, alone_s, folder))

    def _drive(self, system: SystemUnderTest, scenario: Scenario) -> tuple[Scenario, Recording]:
        def progress(done: int, total: int) -> None:
            self._report(scenario.name, done, total)

        plan, clock, stop = self._order.plan, self._clock, self._stop
        if scenario.name == "server" and scenario.rate_hz is None:
            alone = Scenario(name="single-stream")
            sample = drive(system, alone, Plan(seconds=0, samples=2 * system.n_scans), clock, stop).latencies
            at_its_rate = highest_rate(system, scenario, plan, sample, clock, stop, progress) if sample else None
            if at_its_rate is None:
                raise NotMeasured("no rate meets the latency: a single part takes longer")
            return at_its_rate
        between = make_yardstick() if scenario.name == "single-stream" else None
        return scenario, drive(system, scenario, plan, clock, stop, progress, between)

    def _complete(self, inspector: Inspector, outcome: MeasuredConfiguration) -> None:
        """Add what is not timed under a scenario: the roofline, and the quality on a test set."""
        if not self._stop.is_set() and outcome.results:
            work = measure_work(inspector, Path(self._order.scans[0]), outcome.results[0].stage_s)
            roof = device_roof(outcome.gpu, outcome.configuration)
            outcome = msgspec.structs.replace(outcome, work=work, roof=roof)
            self._send(Message(outcome=outcome))
        if not self._stop.is_set() and self._order.test is not None:
            quality = measure_quality(inspector, Path(self._order.test), self._report)
            self._send(Message(outcome=msgspec.structs.replace(outcome, quality=quality)))

    def _report(self, stage: str, done: int, total: int, remark: str = "") -> None:
        self._send(Message(progress=(stage, done, total, remark)))


class NotMeasured(Exception):
    """A scenario has no result, and why; caught here, never shown as an error."""


def _claim_stdout() -> Send:
    """Keep the pipe to the parent for messages alone: whatever a library prints goes to standard error."""
    pipe: BinaryIO = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def send(message: Message) -> None:
        pipe.write(encode_json(message) + b"\n")
        pipe.flush()

    return send


def _watch_parent(stop: threading.Event) -> None:
    """Set `stop` when the parent closes our standard input, or is gone."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()


if __name__ == "__main__":
    main()
