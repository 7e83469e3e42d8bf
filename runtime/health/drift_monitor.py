"""Slow change, told part by part: which measure of the line drifts, since when, by how much, and what to do."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ..bundle.bounds import require_positive
from ..bundle.health_baseline import SCORE, HealthBaseline, MeasureBaseline
from ..errors import UsageError
from .drift_alarm import DriftAlarm, DriftDirection, Lamp, MeasureLamp
from .measure_state import MeasureState
from .measures import KINDS, REJECT_SHARE, SENSOR_MEASURES
from .sequential import LARGEST

STATE_VERSION = 1
MAX_STATE_BYTES = 4 << 20
# What rejects show first has the larger part of the false alarms; the rest is shared alike.
_SCORE_WEIGHT, _REJECT_WEIGHT = 0.3, 0.2
_SENSOR_WEIGHT = (1 - _SCORE_WEIGHT - _REJECT_WEIGHT) / len(SENSOR_MEASURES)
WEIGHTS = {**dict.fromkeys(SENSOR_MEASURES, _SENSOR_WEIGHT), SCORE: _SCORE_WEIGHT, REJECT_SHARE: _REJECT_WEIGHT}
"""The share of the false alarms that each measure may have; together 1."""


class DriftSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How seldom a line is told of a change that is none.

    Attributes:
        parts_per_false_alarm: of all measures together, on average and at least.
        parts_per_false_watch: the same of the lamp before it.
    """

    parts_per_false_alarm: float = 100_000.0
    parts_per_false_watch: float = 10_000.0

    def __post_init__(self) -> None:
        """Refuse rates that make no sense. Raises ValueError."""
        require_positive(self, "parts_per_false_alarm", "parts_per_false_watch")
        if self.parts_per_false_watch > self.parts_per_false_alarm:
            raise ValueError("parts_per_false_watch must be at most parts_per_false_alarm")


class DriftState(msgspec.Struct, kw_only=True):
    """All that has to survive a restart; a few kilobytes of JSON a measure."""

    version: int = STATE_VERSION
    bundle_digest: str
    parts: int = 0
    measures: dict[str, MeasureState] = {}


class DriftMonitor:
    """Fed with every inspected part of a line, in order; not with parts that could not be inspected.

    Example:
        >>> monitor = DriftMonitor("0" * 64, None)
        >>> monitor.update({"plane_rms_m": 1e-4}, score=3.0, is_defect=False)
        []
        >>> [lamp.lamp for lamp in monitor.lamps()]
        ['ok', 'ok', 'ok']
    """

    def __init__(
        self, bundle_digest: str, baseline: HealthBaseline | None, settings: DriftSettings | None = None
    ) -> None:
        """Begin with the first part.

        Args:
            bundle_digest: the manifest's.
            baseline: the manifest's `calibration.health`; None for a bundle without: parts are compared with those
                before them alone.
            settings: None: the defaults.
        """
        self._baseline: dict[str, MeasureBaseline] = {} if baseline is None else dict(baseline.measures)
        self._settings = settings or DriftSettings()
        self._state = DriftState(bundle_digest=bundle_digest)
        for name in KINDS:
            if name in self._baseline:
                self._state.measures[name] = MeasureState.begun(name, self._baseline[name].values)

    @classmethod
    def restored(
        cls,
        raw: bytes | None,
        bundle_digest: str,
        baseline: HealthBaseline | None,
        settings: DriftSettings | None = None,
    ) -> DriftMonitor:
        """Go on where `state()` was taken; begin anew without one, and where it was taken with another bundle.

        Raises:
            UsageError: these are not the bytes of a state.
        """
        monitor = cls(bundle_digest, baseline, settings)
        if raw is None:
            return monitor
        state = _decoded(raw)
        if state.bundle_digest == bundle_digest:
            monitor._state = state
        return monitor

    @property
    def parts(self) -> int:
        """How many parts there were so far."""
        return self._state.parts

    def state(self) -> bytes:
        """JSON for `restored`."""
        return msgspec.json.encode(self._state)

    def update(self, measures: Mapping[str, float | None], score: float, is_defect: bool) -> list[DriftAlarm]:
        """The next part: the alarms that it gives, each once until it is acknowledged.

        Args:
            measures: of `measures_of`; None, or not finite, where one was not measured.
            score: the anomaly score.
            is_defect: whether the part was rejected.

        Raises:
            UsageError: there is no such measure.
        """
        for name in measures:
            if name not in SENSOR_MEASURES:
                raise UsageError(f"drift: there is no measure {name!r}: give those of `measures_of`")
        self._state.parts += 1
        values = {**measures, SCORE: score, REJECT_SHARE: float(is_defect)}
        alarms = []
        for name, value in values.items():
            alarms += self._updated(name, value)
        return alarms

    def lamps(self) -> list[MeasureLamp]:
        """How every measure stands that was measured, at calibration or since."""
        return [self._lamp(name, self._state.measures[name]) for name in KINDS if name in self._state.measures]

    def acknowledge(self, measure: str, is_new_normal: bool = False) -> None:
        """Switch a lamp off, and gather evidence from the next part on.

        Args:
            measure: its name.
            is_new_normal: whether parts are compared with the coming ones from now on, because the change was
                wanted; else with the same as before, because its cause was removed.

        Raises:
            UsageError: there is no such measure, or it was never measured.
        """
        state = self._state.measures.get(measure)
        if state is None:
            raise UsageError(f"drift: {measure!r} is not measured: choose one of {', '.join(self._state.measures)}")
        if is_new_normal:
            self._state.measures[measure] = MeasureState.begun(measure, number=self.parts)
        else:
            state.begin_evidence(self.parts)

    def _updated(self, name: str, value: float | None) -> list[DriftAlarm]:
        state = self._state.measures.get(name)
        if value is None or not abs(value) <= LARGEST:
            if state is not None:
                state.value = None
                state.n_not_measured += 1
            return []
        if state is None:
            state = self._state.measures[name] = MeasureState.begun(name, number=self.parts - 1)
        was_alarmed = state.alarmed
        state.add(name, value, self.parts)
        evidence = self._evidence(name, state)
        direction = max(evidence, key=evidence.__getitem__)
        if was_alarmed or evidence[direction] < 1:
            return []
        state.alarmed = True
        return [_alarm(name, direction, state, self.parts)]

    def _evidence(self, name: str, state: MeasureState) -> dict[DriftDirection, float]:
        """By direction: 1 is an alarm; a measure's share of the false alarms is shared by its directions."""
        factor = WEIGHTS[name] / len(state.evidence) / self._settings.parts_per_false_alarm
        return {direction: factor * evidence.mean for direction, evidence in state.evidence.items()}

    def _lamp(self, name: str, state: MeasureState) -> MeasureLamp:
        evidence = max(self._evidence(name, state).values())
        baseline = self._baseline.get(name)
        mean = state.moments.mean if state.moments.n else None
        lamp: Lamp = "ok"
        if state.alarmed:
            lamp = "alarm"
        elif evidence * self._settings.parts_per_false_alarm >= self._settings.parts_per_false_watch:
            lamp = "watch"
        return MeasureLamp(
            measure=name,
            unit=KINDS[name].unit,
            lamp=lamp,
            value=state.value,
            baseline_mean=mean if baseline is None else baseline.mean,
            baseline_std=state.moments.std if baseline is None else baseline.std,
            ewma=state.ewma,
            evidence=evidence,
            n_reference=state.reference.total,
            n_not_measured=state.n_not_measured,
        )


def _alarm(name: str, direction: DriftDirection, state: MeasureState, part: int) -> DriftAlarm:
    before, kind = state.evidence[direction].before, KINDS[name]
    mean_since = state.moments.mean_since(before)
    if mean_since is None:  # the change begins with this part
        mean_since = state.moments.mean
    shift = mean_since - before.mean if before.n else None
    return DriftAlarm(
        measure=name,
        direction=direction,
        part=part,
        since_part=state.evidence[direction].since,
        mean_before=before.mean if before.n else None,
        mean_since=mean_since,
        shift=shift,
        shift_sigmas=shift / before.std if shift is not None and before.std else None,
        unit=kind.unit,
        advice=kind.rises if direction == "rises" else kind.falls,
    )


def _decoded(raw: bytes) -> DriftState:
    advice = "remove it to start again"
    if len(raw) > MAX_STATE_BYTES:
        raise UsageError(f"drift: the saved state has {len(raw)} bytes, as none has: {advice}")
    try:
        state = msgspec.json.decode(raw, type=DriftState)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as cause:
        raise UsageError(f"drift: the saved state cannot be read ({cause}): {advice}") from cause
    fits = state.measures.keys() <= KINDS.keys() and all(kept.fits(name) for name, kept in state.measures.items())
    if state.version != STATE_VERSION or not fits or not 0 <= state.parts <= LARGEST:
        raise UsageError(f"drift: the saved state is of another version of cmdiad: {advice}")
    return state
