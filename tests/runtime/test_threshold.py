"""The stored threshold explains itself and survives JSON."""

from __future__ import annotations

import msgspec
from cmdiad.runtime.bundle.parameters import Threshold

COUNTED = Threshold(
    value=4.6721,
    false_reject_rate=0.01,
    method="order-statistic",
    n_scans=120,
    rate_low=0.00021,
    rate_high=0.03,
    scans_needed=99,
)


def test_a_counted_threshold_is_told_in_one_sentence() -> None:
    assert COUNTED.describe() == (
        "parts scoring above 4.672 are rejected: about 1 % of the good ones "
        "(95 % confidence: 0.021 % to 3 %), counted on 120 good scans"
    )


def test_an_extrapolated_threshold_says_so_and_what_would_help() -> None:
    few = msgspec.structs.replace(COUNTED, method="extrapolated", n_scans=39, rate_low=1e-9)
    assert few.describe() == (
        "parts scoring above 4.672 are rejected: about 1 % of the good ones "
        "(95 % confidence: under 0.01 % to 3 %), extrapolated from 39 good scans as if their scores were "
        "log-normal; calibrate with 99 or more to count instead"
    )


def test_json_keeps_every_bit() -> None:
    assert msgspec.json.decode(msgspec.json.encode(COUNTED), type=Threshold) == COUNTED
