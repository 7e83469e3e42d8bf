"""How the bundles of a line are opened, here and in the processes that try one first."""

from __future__ import annotations

from dataclasses import dataclass

from ..acceptance.selftest import run_selftest
from ..bundle.reading import Bundle
from ..choices import Graph
from ..errors import ParityError
from ..freed_memory import bundle_off_the_heaps
from ..inspector import Inspector


@dataclass(frozen=True)
class InspectorSettings:
    """How every bundle of a line is opened; see `Inspector.load`.

    Attributes:
        provider, threads, graph, allow_any_size: as `Inspector.load` takes them.
        require_signature: files of public keys, one of which must have signed every bundle.
    """

    provider: str = "cpu"
    threads: int | None = None
    graph: Graph = "auto"
    allow_any_size: bool = False
    require_signature: tuple[str, ...] = ()

    def open(self, bundle: Bundle, threshold: float | None) -> Inspector:
        """An inspector of a verified bundle, which leaves no gaps in the process's memory when it is replaced."""
        with bundle_off_the_heaps():
            return Inspector(
                bundle,
                self.provider,
                self.threads,
                threshold,
                graph=self.graph,
                allow_any_size=self.allow_any_size,
            )


def require_selftest(bundle: Bundle, settings: InspectorSettings) -> None:
    """Repeat a bundle's golden scans, where it has some, as inspections will run.

    Raises:
        ParityError: a stage is not within its tolerance.
    """
    if not any(name.startswith("golden/") for name in bundle.manifest.files):
        return
    report = run_selftest(bundle, settings.provider, settings.threads, graph=settings.graph)
    failed = [comparison for comparison in report.comparisons if not comparison.passed]
    if failed:
        raise ParityError(
            f"{bundle.path}: fails its self-test on this machine at {failed[0].stage} of the {failed[0].case} scan: "
            "run `cmdiad-rt selftest` and see what differs"
        )
