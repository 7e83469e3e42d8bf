"""Words that an export's user chooses by; nothing is imported for them, so that a command's help is quick."""

from __future__ import annotations

from typing import Literal

Precision = Literal["fp32", "fp16", "bf16", "int8"]
"""The type that networks compute in."""
