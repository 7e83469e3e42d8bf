"""What the line did recently: counts, rate, time by stage, scores."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from typing import Any

import numpy as np

from .arrival import PartRecord

_LATELY = 1000
_RATE_SECONDS = 60.0


class LineTally:
    """Counts of everything since the start, and figures of the last thousand parts; safe for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._verdicts: Counter[tuple[str, str]] = Counter()
        self._finished: deque[float] = deque(maxlen=_LATELY)
        self._stages: deque[dict[str, float]] = deque(maxlen=_LATELY)
        self._waits: deque[float] = deque(maxlen=_LATELY)

    def add(self, record: PartRecord) -> None:
        """Count a result."""
        with self._lock:
            self._verdicts[(record.product or "", record.verdict)] += 1
            self._finished.append(time.monotonic())
            self._waits.append(1e3 * (record.finished_at - record.accepted_at))
            if "ms" in record.result:
                self._stages.append(record.result["ms"])

    def verdicts(self) -> dict[tuple[str, str], int]:
        """How many parts had each verdict, by product and verdict."""
        with self._lock:
            return dict(self._verdicts)

    def as_json(self) -> dict[str, Any]:
        """The figures of `/v1/status`: counts, parts a minute, and milliseconds by stage (50th and 99th percentile)."""
        with self._lock:
            finished, stages, waits = list(self._finished), list(self._stages), list(self._waits)
            counts = dict.fromkeys(("good", "defect", "error"), 0)
            for (_, verdict), count in self._verdicts.items():
                counts[verdict] += count
        now = time.monotonic()
        lately = [moment for moment in finished if now - moment <= _RATE_SECONDS]
        # A line that has just begun has no minute behind it.
        span = min(_RATE_SECONDS, now - finished[0]) if finished else _RATE_SECONDS
        names = dict.fromkeys(name for stage in stages for name in stage)
        return {
            "parts": {"total": sum(counts.values()), **counts},
            "parts_per_minute": 60.0 * len(lately) / max(span, 1.0),
            "ms": {name: _percentiles([stage[name] for stage in stages if name in stage]) for name in names},
            "ms_from_acceptance": _percentiles(waits),
        }


def _percentiles(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    p50, p99 = np.percentile(values, (50, 99))
    return {"p50": float(p50), "p99": float(p99)}
