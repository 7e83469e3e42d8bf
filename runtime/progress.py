"""How long-running work reports its progress: the caller gives a function, and shows what it is called with."""

from __future__ import annotations

from collections.abc import Callable

# (stage, steps done, steps in all, remark): of work with several stages. Of none in all there is nothing to do: stage
# and remark are an announcement.
Progress = Callable[[str, int, int, str], None]
# (steps done, steps in all): of one stage.
StepProgress = Callable[[int, int], None]
