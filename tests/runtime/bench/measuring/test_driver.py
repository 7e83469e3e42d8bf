"""The load generator in virtual time: every latency is known beforehand."""

import threading
from itertools import islice

import numpy as np
import pytest
from cmdiad.runtime.bench.measuring.driver import drive
from cmdiad.runtime.bench.measuring.report import make_result
from cmdiad.runtime.bench.measuring.scenarios import Plan, Scenario, arrivals, chosen
from cmdiad.runtime.bench.measuring.server import highest_rate, simulated_rate, waiting_latencies
from cmdiad.runtime.errors import UsageError

from ..outcomes import SILENT


class VirtualClock:
    """Time that passes only when somebody works or waits."""

    def __init__(self):
        self.time = 100.0

    def now(self):
        return self.time

    def wait_until(self, moment):
        self.time = max(self.time, moment)


class Worker:
    """A system whose parts take known times, by the number of the scan."""

    def __init__(self, clock, seconds, batch=1):
        self.clock, self.seconds, self.batch, self.n_scans = clock, seconds, batch, len(seconds)
        self.seen = []

    def process(self, numbers):
        self.seen.append(list(numbers))
        spent = max(self.seconds[number] for number in numbers)
        self.clock.time += spent
        return {"extract": 0.75 * spent, "search": 0.25 * spent}

    def stream(self, numbers):
        return (self.process([number]) for number in numbers)


def run(scenario, seconds, plan, batch=1, stop=None):
    clock = VirtualClock()
    system = Worker(clock, seconds, batch)
    return drive(system, scenario, plan, clock, stop or threading.Event()), system


def test_single_stream_asks_for_one_part_after_the_other():
    recording, system = run(Scenario(name="single-stream"), [0.1, 0.3], Plan(seconds=0, samples=5))
    assert system.seen == [[0], [1], [0], [1], [0]]
    np.testing.assert_allclose(recording.latencies, [0.1, 0.3, 0.1, 0.3, 0.1])
    assert not recording.partial


def test_a_run_lasts_as_long_as_asked_even_with_enough_samples():
    recording, _ = run(Scenario(name="single-stream"), [0.25], Plan(seconds=2.0, samples=1))
    assert len(recording.calls) == 8


def test_multi_stream_times_the_whole_query():
    recording, system = run(Scenario(name="multi-stream", parts_a_query=3), [0.2, 0.4], Plan(seconds=0, samples=2))
    assert system.seen == [[0, 1, 0], [1, 0, 1]]
    np.testing.assert_allclose(recording.latencies, [0.4, 0.4])
    assert sum(call.parts for call in recording.calls) == 6


class Ahead(Worker):
    """A system that takes four parts before the first is done, and then has results every 0.1 s."""

    def stream(self, numbers):
        taken = list(islice(numbers, 4))
        self.clock.time += 0.3
        while taken:
            self.clock.time += 0.1
            self.seen.append([taken.pop(0)])
            yield {"extract": 0.2}
            taken += islice(numbers, 1)


def offline(plan, stop=None):
    clock = VirtualClock()
    system = Ahead(clock, [0.1] * 3)
    return drive(system, Scenario(name="offline"), plan, clock, stop or threading.Event()), system


def test_offline_streams_parts_and_a_part_counts_from_the_result_before_it():
    recording, system = offline(Plan(seconds=0, samples=6))
    assert system.seen == [[0], [1], [2], [0], [1], [2]]
    np.testing.assert_allclose(recording.latencies, [0.4, 0.1, 0.1, 0.1, 0.1, 0.1])
    assert not recording.partial and [call.first for call in recording.calls] == list(range(6))
    result = make_result(Scenario(name="offline"), recording, SILENT)
    assert result.throughput_hz == pytest.approx(6 / 0.9)
    # Stages of several parts overlap: together they take longer than the clock.
    assert result.stage_share == pytest.approx(6 * 0.2 / 0.9)


def test_offline_lasts_as_long_as_asked_and_waits_for_all_that_was_given_in():
    recording, system = offline(Plan(seconds=2.05, samples=1))
    # The last one is given in after 2.0 s, and the three before it are waited for.
    assert recording.calls[-1].end_s == pytest.approx(2.4)
    assert len(recording.calls) == len(system.seen) == 21


def test_offline_is_partial_when_it_was_stopped_and_keeps_what_was_given_in():
    stop = threading.Event()
    stop.set()
    recording, _ = offline(Plan(seconds=9, samples=9), stop)
    assert recording.partial and recording.calls == []


def test_takt_counts_from_the_arrival_when_the_line_falls_behind():
    scenario = Scenario(name="takt", takt_s=1.0, bound_s=1.0)
    recording, _ = run(scenario, [0.5, 2.5, 0.5, 0.5], Plan(seconds=0, samples=4))
    # Part 1 arrives at 1 and is done at 3.5, part 2 waits from 2 and is done at 4, part 3 from 3 to 4.5.
    np.testing.assert_allclose(recording.latencies, [0.5, 2.5, 2.0, 1.5])


def test_whatever_waits_goes_in_one_batch():
    scenario = Scenario(name="takt", takt_s=1.0, bound_s=1.0)
    recording, system = run(scenario, [2.5] * 9, Plan(seconds=0, samples=6), batch=4)
    assert [len(numbers) for numbers in system.seen] == [1, 2, 3]
    np.testing.assert_allclose(recording.calls[1].due_s, [1.0, 2.0])


def test_a_stop_keeps_what_was_measured_and_says_partial():
    stop = threading.Event()

    class Stopping(Worker):
        def process(self, numbers):
            if len(self.seen) == 2:
                stop.set()
            return super().process(numbers)

    clock = VirtualClock()
    for scenario in (Scenario(name="single-stream"), Scenario(name="takt", takt_s=1.0, bound_s=1.0)):
        stop.clear()
        system = Stopping(clock, [0.1])
        recording = drive(system, scenario, Plan(seconds=0, samples=50), clock, stop)
        assert recording.partial and len(recording.calls) == 3


def test_the_yardstick_is_outside_every_latency():
    clock = VirtualClock()

    def between():
        clock.time += 5.0
        return 5.0

    system = Worker(clock, [1.0])
    plan = Plan(seconds=0, samples=3)
    recording = drive(system, Scenario(name="single-stream"), plan, clock, threading.Event(), between=between)
    np.testing.assert_allclose(recording.latencies, [1.0, 1.0, 1.0])
    assert len(recording.yardstick_s) == 3


def test_poisson_arrivals_have_the_rate_and_the_seed():
    scenario = Scenario(name="server", rate_hz=5.0, seed=3)
    times = list(arrivals(scenario, Plan(seconds=0, samples=4000)))
    gaps = np.diff(times)
    assert times == list(arrivals(scenario, Plan(seconds=0, samples=4000)))
    assert np.mean(gaps) == pytest.approx(0.2, rel=0.05)
    # An exponential distribution's deviation is its mean.
    assert np.std(gaps) == pytest.approx(0.2, rel=0.08)


def test_waiting_follows_lindleys_recursion():
    assert waiting_latencies([0.0, 1.0, 1.5, 9.0], [1.2]) == pytest.approx([1.2, 1.4, 2.1, 1.2])


def test_the_highest_rate_is_measured_and_holds():
    clock = VirtualClock()
    system = Worker(clock, [0.1])
    scenario = Scenario(name="server", bound_s=0.3)
    found = highest_rate(system, scenario, Plan(seconds=0, samples=200), [0.1], clock, threading.Event())
    assert found is not None
    trial, recording = found
    ordered = np.sort(recording.latencies)
    assert ordered[179] <= 0.3 < 0.1 + ordered[-1]
    assert 2.0 < trial.rate_hz < 10.0
    assert simulated_rate([0.1], 0.3, 200, 0) == pytest.approx(trial.rate_hz)


def test_no_rate_holds_a_bound_below_one_part():
    assert simulated_rate([0.5], 0.4, 100, 0) is None


def test_takt_is_added_by_its_option_and_all_means_all():
    assert [each.name for each in chosen([], 0.8, None, None, 8, 0)] == ["single-stream", "offline", "takt"]
    everything = chosen(["all"], 0.8, 0.3, None, 4, 0)
    assert len(everything) == 5
    assert {each.name: each.bound_s for each in everything}["takt"] == 0.3
    assert chosen([], 0.8, None, None, 8, 0)[-1].bound_s == 0.8
    assert chosen([], 0.8, 0.0, None, 8, 0)[-1].bound_s == 0.0


@pytest.mark.parametrize(("names", "words"), [(["takt"], "--takt"), (["server"], "--rate"), (["turbo"], "turbo")])
def test_a_scenario_without_its_parameter_is_refused(names, words):
    with pytest.raises(UsageError, match=words):
        chosen(names, None, None, None, 8, 0)
