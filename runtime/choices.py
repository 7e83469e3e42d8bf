"""Words that an inspection's user chooses by; nothing is imported for them, so that a command's help is quick."""

from __future__ import annotations

from typing import Literal

Graph = Literal["auto", "networks", "line"]
"""What runs: the networks one by one, the fused line graph, or what suits the provider; see `Inspector.load`."""

Written = Literal["all", "defects", "none"]
"""Of which parts heat maps and raw maps, or colored clouds, are written; see `inspect_stream`."""
