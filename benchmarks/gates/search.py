"""The memory bank's search against FAISS (IndexFlatL2), on as many threads.

    python benchmarks/gates/search.py FOLDER

FOLDER was written by `workbench.py`: its two full-size banks, and the patches of scans that are not in them. `search`
is the bank's own, exact and screened; `search_direct` is the one product of all queries and all rows that is left where
no screen helps, and isotropic noise is that case. Prints one JSON object a measure, then the machine. The baseline
needs FAISS: pip install faiss-cpu.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from cmdiad.benchmarks.shared.measuring import alternated, machine, report, report_error
from cmdiad.runtime.banks.bank import MemoryBank
from cmdiad.runtime.banks.exact import block_slices, half_sq_norms, nearest_rows
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.patches.features import FeatureExtractor
from cmdiad.runtime.patches.routes import modalities
from cmdiad.runtime.preparation.prepared_part import prepare_file
from cmdiad.runtime.threads import SearchThreads, usable_processors
from cmdiad.runtime.timing import StageTimes
from cmdiad.runtime.verdict.decision import Decision

N_QUERIES = 1250
QUERY_SCANS = 4
REPEATS = 7
DIM = 768
SCREENED_BAR = 8.0
# The direct search, and with it noise, is one matrix product at the processor's speed, as FAISS's is.
DIRECT_BAR = 0.8
WRONG_BAR, DISTANCE_BAR = 1e-4, 1e-4
CHECKED_BLOCK = 64

Array = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


def main(folder: Path) -> None:
    """Measure and print."""
    bundle = open_bundle(folder / "fp32")
    decision, extractor = Decision.load(bundle), FeatureExtractor(bundle)
    assert decision.second is not None
    parts = []
    for path in sorted((folder / "scans").glob("*.tiff"))[:QUERY_SCANS]:
        prepared = prepare_file(path, modalities(bundle.manifest), bundle.manifest.preprocessing)
        parts.append(extractor.extract(prepared, StageTimes()))
    main_queries = decision.main.normalize(np.concatenate([part.main for part in parts]))
    second_queries = decision.second.normalize(
        np.concatenate([part.second for part in parts if part.second is not None])
    )
    compare("main", decision.main.bank, thinned(main_queries), (SCREENED_BAR, DIRECT_BAR))
    compare("hallucinated", decision.second.bank, thinned(second_queries), (SCREENED_BAR, DIRECT_BAR))
    rng = np.random.default_rng(0)
    noise = bank_without_neighbors(rng.standard_normal((len(decision.main.bank.rows), DIM), dtype=np.float32))
    compare("noise", noise, rng.standard_normal((N_QUERIES, DIM), dtype=np.float32), (DIRECT_BAR, DIRECT_BAR))
    print(json.dumps(machine()))


def thinned(queries: Array) -> Array:
    """As many queries as a typical part has patches."""
    return queries[np.linspace(0, len(queries) - 1, min(N_QUERIES, len(queries))).astype(int)]


def compare(data: str, bank: MemoryBank, queries: Array, bars: tuple[float, float]) -> None:
    """Time the bank's search and the direct search against FAISS, and check both against float64."""
    try:
        import faiss
    except ImportError as error:
        raise SystemExit(f"the baseline needs FAISS: pip install faiss-cpu ({error})") from error
    faiss.omp_set_num_threads(usable_processors())
    rows = np.ascontiguousarray(bank.rows, np.float32)
    centered = queries - bank.mean
    index = faiss.IndexFlatL2(DIM)
    index.add(rows)
    begin = time.perf_counter()
    bank.search(queries[:1])
    first_ms = (time.perf_counter() - begin) * 1e3
    runs: dict[str, Callable[[], Any]] = {
        "faiss": lambda: index.search(centered, 1),
        "bank": lambda: bank.search(queries, shared=shared),
        "direct": lambda: nearest_rows(centered, rows, bank.half_norms),
    }
    threads = SearchThreads()
    shared, _ = threads.pools()
    results, ms = alternated(runs, REPEATS, warm_up=False)
    threads.close()
    size = f"{data}_{len(queries)}x{len(rows)}x{DIM}"
    baseline = "FAISS IndexFlatL2"
    report(f"search_{size}", ms["bank"], baseline, ms["faiss"], bars[0])
    report(f"search_direct_{size}", ms["direct"], baseline, ms["faiss"], bars[1])
    print(json.dumps({"measure": f"first_search_{size}", "ours_ms": round(first_ms, 1)}), flush=True)
    best, distance = brute_force(centered, rows, results["bank"].index)
    np.testing.assert_array_equal(results["bank"].index, results["direct"].index[:, 0])
    report_error(f"search_wrong_share_{size}", float(np.mean(~best)), "brute force, float64", WRONG_BAR)
    relative = np.abs(results["bank"].distance - distance) / np.maximum(distance, 1e-6)
    report_error(f"search_distance_{size}", float(relative.max()), "brute force, float64", DISTANCE_BAR)


def brute_force(queries: Array, rows: Array, answers: Indices) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Whether the answered row is as near as any (to 1e-12, a tie), and the least distance; in float64."""
    wide = rows.astype(np.float64)
    half = 0.5 * np.einsum("ij,ij->i", wide, wide)
    best, distance = np.empty(len(queries), bool), np.empty(len(queries))
    for block in block_slices(len(queries), CHECKED_BLOCK):
        some = queries[block].astype(np.float64)
        scores = half - some @ wide.T
        nearest = scores.argmin(axis=1)
        least = np.linalg.norm(some - wide[nearest], axis=1)
        ours = np.linalg.norm(some - wide[answers[block]], axis=1)
        best[block], distance[block] = ours <= least * (1 + 1e-12), least
    return best, distance


def bank_without_neighbors(rows: Array) -> MemoryBank:
    """A bank as `build_bank` makes it; the table of neighbors takes no part in a search."""
    mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    centered = rows - mean
    return MemoryBank(centered, mean, half_sq_norms(centered), np.empty((len(rows), 0), np.int32), "l2")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python benchmarks/gates/search.py FOLDER, made by benchmarks/shared/workbench.py")
    main(Path(sys.argv[1]))
