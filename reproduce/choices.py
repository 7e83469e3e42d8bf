"""Words that name the paper's experiments; nothing is imported for them, so a command's help is quick."""

from __future__ import annotations

from typing import Literal

TableNumber = Literal["2", "3", "4", "5", "a1", "a2", "a3", "a4", "a5"]
"""A table of the paper."""

WHOLE = "mvtec3d"
"""The main tables at once, on MVTec 3D-AD with the published checkpoints."""

Reproducible = Literal["2", "3", "4", "5", "a1", "a2", "a3", "a4", "a5", "mvtec3d"]
"""What `cmdiad reproduce` takes."""
