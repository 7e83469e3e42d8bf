"""Statistics of normal scans are kept small and refused where they make no sense."""

import msgspec
import numpy as np
import pytest
from cmdiad.runtime.bundle.health_baseline import MOST_VALUES, HealthBaseline, MeasureBaseline


@pytest.mark.parametrize("count", [1, 2, 128, 129, 1000])
def test_statistics_are_those_of_all_values_and_few_are_kept(count):
    values = np.random.default_rng(count).lognormal(size=count)
    baseline = MeasureBaseline.of(values.tolist())
    assert baseline.n == count and 1 <= len(baseline.values) <= MOST_VALUES and set(baseline.values) <= set(values)
    assert baseline.mean == pytest.approx(values.mean())
    assert baseline.std == pytest.approx(values.std(ddof=1) if count > 1 else 0)
    told = (baseline.low, baseline.median, baseline.high)
    assert told == pytest.approx(np.quantile(values, [0.05, 0.5, 0.95]))
    encoded = msgspec.json.encode(HealthBaseline(measures={"score": baseline}, plane_normal=(0.0, 0.6, 0.8)))
    assert msgspec.json.decode(encoded, type=HealthBaseline).measures["score"] == baseline


@pytest.mark.parametrize(
    "change", [{"n": 0}, {"std": -1.0}, {"mean": 1e400}, {"low": 9.0}, {"values": []}, {"values": [1.0] * 129}]
)
def test_what_no_scans_can_have_had_is_refused(change):
    good = msgspec.to_builtins(MeasureBaseline.of([1.0, 2.0, 3.0]))
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**good, **change}, MeasureBaseline)
    with pytest.raises(ValueError, match="length 1"):
        HealthBaseline(measures={}, plane_normal=(0.0, 0.0, 2.0))
