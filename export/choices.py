"""Words that the user of an export chooses from; nothing is imported for them, so a command's help is quick."""

from __future__ import annotations

from typing import Literal

Precision = Literal["fp32", "fp16", "bf16", "int8"]
"""The type that networks compute in."""
