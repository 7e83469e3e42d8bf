"""One part on its way through a station: read, inspected, its files written; an error is an outcome like any other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import CmdiadError, DamagedScanError, as_cmdiad_error, naming_scan
from ..inspection import Inspection
from ..inspection_files import FilesOfPart
from ..inspector import ReadyScan
from .arrival import Accepted, Arrival, PartRecord, RawPoints
from .products import Loaded, Product, Products
from .result_files import WantedFiles, file_stem, write_inspection


@dataclass(frozen=True)
class Answered:
    """What whoever sent a request gets: the result, and the inspection where there is one."""

    record: PartRecord
    inspection: Inspection | None


@dataclass(frozen=True)
class PartJob:
    """A part and what was made of it so far.

    Attributes:
        accepted: the part.
        product, loaded: the bundle that inspects it, borrowed.
        ready: what the networks take.
        inspection: the verdict.
        files: what was written.
        error: why there is no verdict.
    """

    accepted: Accepted
    product: Product | None = None
    loaded: Loaded | None = None
    ready: ReadyScan | None = None
    inspection: Inspection | None = None
    files: FilesOfPart = field(default_factory=FilesOfPart)
    error: CmdiadError | None = None

    @property
    def stem(self) -> str:
        """How the paths of its files begin, see `file_stem`."""
        return file_stem(self.accepted.number, self.accepted.arrival.scan, self.accepted.accepted_at)

    def then(self, step: Callable[[PartJob], PartJob]) -> PartJob:
        """The next step's outcome, where nothing failed before."""
        if self.error is not None:
            return self
        arrival = self.accepted.arrival
        try:
            with naming_scan(arrival.path or Path(arrival.scan)):
                return step(self)
        except Exception as error:
            return replace(self, ready=None, error=_with_advice(as_cmdiad_error(error), arrival))


def _with_advice(error: CmdiadError, arrival: Arrival) -> CmdiadError:
    """An error of a file in a hot folder, which may have been read while it was written."""
    if not isinstance(error, DamagedScanError) or arrival.version is None:
        return error
    advised = DamagedScanError(
        f"{error}; or it was still being written: raise settle_seconds (watch: --settle), or rename files into the "
        "folder once they are whole"
    )
    advised.__cause__ = error
    return advised


class InspectingSteps:
    """The three stages of `pipeline.py` for parts of any product."""

    def __init__(self, products: Products, out: Path, wanted: Callable[[], WantedFiles]) -> None:
        """Steps that write below a folder; `wanted` says which files, anew for every part."""
        self._products, self._out, self._wanted = products, out, wanted

    def read(self, job: PartJob) -> PartJob:
        """Borrow the product's bundle, and do all that comes before the networks."""
        return job.then(self._with_bundle).then(self._with_part)

    def inspect(self, jobs: list[PartJob]) -> list[PartJob]:
        """The networks, one part after the other."""
        return [job.then(_with_verdict) for job in jobs]

    def write(self, job: PartJob) -> PartJob:
        """Write the files of a verdict, and give the bundle back."""
        if job.product is not None and job.loaded is not None:
            self._products.give_back(job.product, job.loaded)
        return job.then(self._with_files)

    def _with_bundle(self, job: PartJob) -> PartJob:
        product = self._products.named(job.accepted.arrival.product)
        return replace(job, product=product, loaded=self._products.borrow(product))

    def _with_part(self, job: PartJob) -> PartJob:
        assert job.loaded is not None
        arrival, inspector = job.accepted.arrival, job.loaded.inspector
        if arrival.path is not None:
            return replace(job, ready=inspector.read(arrival.path))
        if isinstance(arrival.content, RawPoints):
            return replace(job, ready=inspector.read_arrays(arrival.content.points))
        assert arrival.content is not None
        return replace(job, ready=inspector.read_bytes(arrival.content.data, arrival.content.image))

    def _with_files(self, job: PartJob) -> PartJob:
        inspection = job.inspection
        assert inspection is not None
        files = write_inspection(self._out, job.stem, inspection, self._wanted())
        return replace(job, inspection=inspection.with_times(files.times), files=files)


def _with_verdict(job: PartJob) -> PartJob:
    assert job.loaded is not None and job.ready is not None
    return replace(job, ready=None, inspection=job.loaded.inspector.finish(job.ready))
