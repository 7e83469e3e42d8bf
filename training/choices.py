"""Words that the user of a training chooses from; nothing is imported for them, so a command's help is quick."""

from __future__ import annotations

from typing import Literal

Loss = Literal["l2", "l1", "cosine"]
"""The distance between what a route hallucinates and what was there; see `routes.objectives`."""

DeviceName = Literal["auto", "cpu", "cuda"]
"""Where training computes; see `device.open_device`."""

Difficulty = Literal["field", "hard"]
"""How large and deep the defects of synthetic parts are; see `synth.synthesis.SEVERITIES`."""
