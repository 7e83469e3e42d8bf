"""`/metrics` for Prometheus: what the line counts and measures."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from ..arrival import PartRecord
from ..production_line import ProductionLine

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
# Of the threshold: what matters is how near to it parts come.
_LAMPS = ("ok", "watch", "alarm")
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2, 3, 5)


class LineMetrics:
    """The metrics of one line, in a registry of their own."""

    def __init__(self, line: ProductionLine) -> None:
        self._line = line
        self.registry = CollectorRegistry()
        self._parts = Counter(
            "cmdiad_parts", "Parts by product and verdict.", ["product", "verdict"], registry=self.registry
        )
        self._stages = Histogram(
            "cmdiad_stage_seconds", "Time by stage.", ["stage"], buckets=_SECONDS, registry=self.registry
        )
        self._whole = Histogram(
            "cmdiad_part_seconds", "From acceptance to result.", buckets=_SECONDS, registry=self.registry
        )
        self._scores = Histogram(
            "cmdiad_score_of_threshold",
            "Scores, as a share of the threshold.",
            ["product"],
            buckets=_SHARES,
            registry=self.registry,
        )
        self.registry.register(self)

    def add(self, record: PartRecord) -> None:
        """Count a result."""
        product = record.product or ""
        self._parts.labels(product, record.verdict).inc()
        self._whole.observe(max(0.0, record.finished_at - record.accepted_at))
        for stage, milliseconds in record.result.get("ms", {}).items():
            self._stages.labels(stage).observe(milliseconds / 1e3)
        if record.score is not None and record.threshold:
            self._scores.labels(product).observe(record.score / record.threshold)

    def text(self) -> bytes:
        """All metrics, as Prometheus reads them."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """The metrics that are read from the line when Prometheus scrapes it."""
        status = self._line.status()
        queue = GaugeMetricFamily("cmdiad_queue", "Parts waiting or in progress.", labels=["what"])
        for what in ("requests", "files", "under_way"):
            queue.add_metric([what], status["queue"][what])
        yield queue
        sinks = GaugeMetricFamily("cmdiad_sink_waiting", "Results that a sink has not accepted yet.", labels=["sink"])
        passed = GaugeMetricFamily(
            "cmdiad_sink_passed_over", "Results that a sink refused permanently.", labels=["sink"]
        )
        for sink in status["sinks"]:
            sinks.add_metric([sink["name"]], sink["waiting"])
            passed.add_metric([sink["name"]], sink["passed_over"])
        yield sinks
        yield passed
        yield GaugeMetricFamily("cmdiad_problems", "Current problems.", len(status["problems"]))
        swaps = GaugeMetricFamily("cmdiad_bundle_swaps", "New bundles that took over.", labels=["product"])
        info = GaugeMetricFamily("cmdiad_bundle_info", "The bundle in use.", labels=["product", "digest"])
        for product in status["products"]:
            swaps.add_metric([product["name"]], product["swaps"])
            info.add_metric([product["name"], product["digest"] or ""], 1)
        yield swaps
        yield info
        drift = GaugeMetricFamily(
            "cmdiad_drift", "State of a measure: 0 ok, 1 watch, 2 alarm.", labels=["product", "measure"]
        )
        means = GaugeMetricFamily("cmdiad_measure_mean", "Its moving mean.", labels=["product", "measure"])
        for lamp in status["health"]:
            drift.add_metric([lamp["product"], lamp["measure"]], _LAMPS.index(lamp["lamp"]))
            if lamp["ewma"] is not None:
                means.add_metric([lamp["product"], lamp["measure"]], lamp["ewma"])
        yield drift
        yield means
