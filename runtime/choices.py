"""Words that the user of an inspection chooses from; nothing is imported for them, so a command's help is quick."""

from __future__ import annotations

from typing import Literal

Graph = Literal["auto", "networks", "line"]
"""What runs: the networks one by one, the fused line graph, or what suits the provider; see `Inspector.load`."""

Written = Literal["all", "defects", "none"]
"""Of which parts heat maps and raw maps, or colored clouds, are written; see `inspect_stream`."""

Verdict = Literal["good", "defect", "error"]
"""What becomes of a part on a line; error: it was not inspected."""

After = Literal["leave", "move", "delete"]
"""What happens to a scan of a hot folder that has its result."""

Existing = Literal["inspect", "skip"]
"""Whether scans are inspected that are in a hot folder at its very first start."""

Parts = Literal["largest", "all"]
"""Which of a scan's parts are inspected; see `Preprocessing`."""
