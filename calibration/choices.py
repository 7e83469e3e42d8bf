"""Words that the user of a calibration chooses from; nothing is imported for them, so a command's help is quick."""

from __future__ import annotations

from typing import Literal

BankPrecision = Literal["fp32", "fp16"]
"""The type that a memory bank holds its rows in; fp16 takes half the memory on the line."""

Calibrator = Literal["minmax", "percentile", "mse"]
"""How the ranges of int8 are chosen; see `ranges.activation_ranges`."""
