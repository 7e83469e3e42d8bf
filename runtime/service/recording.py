"""From a part's outcome to its record: what stands in the journal, in its file, and in what sinks deliver."""

from __future__ import annotations

import time
from typing import Any

from ..errors import CmdiadError, ScanError
from .arrival import PartRecord
from .inspecting import PartJob
from .result_files import file_name


def record_of(job: PartJob) -> PartRecord:
    """The one result of a part that was inspected, or of which it is known why it was not."""
    accepted, inspection = job.accepted, job.inspection
    return PartRecord(
        number=accepted.number,
        source=accepted.arrival.source,
        scan=accepted.arrival.scan,
        part_id=accepted.arrival.part_id,
        product=accepted.arrival.product if job.product is None else job.product.name,
        bundle=None if job.loaded is None else job.loaded.digest,
        accepted_at=accepted.accepted_at,
        finished_at=time.time(),
        verdict="error" if inspection is None else inspection.verdict,
        score=None if inspection is None else inspection.score,
        threshold=None if inspection is None else inspection.threshold,
        result=_result(job),
    )


def _result(job: PartJob) -> dict[str, Any]:
    result: dict[str, Any] = {"tries": job.accepted.tries + 1}
    if job.inspection is not None:
        result |= {
            **job.inspection.as_json(),
            "files": {kind: file_name(job.stem, kind) for kind in job.files.written},
            "ms": job.inspection.milliseconds,
        }
    error: CmdiadError | None = job.error or _not_judged(job) or job.files.error
    if error is not None:
        result["error"] = {"kind": error.kind, "message": str(error)}
    return result


def _not_judged(job: PartJob) -> CmdiadError | None:
    """What of a scan of several parts has no verdict, as one error; None where all of it has."""
    refused = () if job.inspection is None else job.inspection.refused
    return (
        ScanError(f"{job.accepted.arrival.scan}: {'; '.join(str(one.error) for one in refused)}") if refused else None
    )
