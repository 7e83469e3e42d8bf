"""The full-size line, built on the machine that is measured: networks, banks, line graph, in fp32 and in fp16.

Networks are those of `workbench.py`: Point-MAE and F2F in their published sizes with seeded weights, and the batch
statistics of the scans. `calibrate_bundle` learns fusion and thresholds from a few rendered scans; then the banks are
widened to the rows of the paper's, drawn at random from all scans, as a greedy coreset of so many takes minutes. The
golden scans are held-out ones: those of a bank that holds all their patches would have distances of nothing. The fp16
bundle has the same banks, as `cmdiad export --bundle --precision fp16` leaves them; its gate, which needs a trained
run, is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from cmdiad.benchmarks.gpu.bound_measures import RunningClock
from cmdiad.benchmarks.shared.scans import raw_scan
from cmdiad.benchmarks.shared.workbench import (
    EXTRACTOR_WEIGHTS,
    F2F_WEIGHTS,
    FIRST_RAW_SEED,
    RAW_CLASS,
    RAW_SIZE,
    STATISTICS_SCANS,
    fp32_graphs,
    seeded_networks,
    write_networks,
)
from cmdiad.calibration.calibrated_bundle import calibrate_bundle
from cmdiad.calibration.calibration_settings import CalibrationSettings
from cmdiad.calibration.golden_rounding import golden_contents
from cmdiad.calibration.line_graph.building import add_line_graph
from cmdiad.export.precision.casting import convert, kept_by_type
from cmdiad.export.precision.reduced import Reduced, described
from cmdiad.runtime.acceptance.golden import encode_points, golden_files
from cmdiad.runtime.banks.bank import MemoryBank, build_bank
from cmdiad.runtime.banks.exact import Reduction
from cmdiad.runtime.banks.screen import nearest_rows_screened, screen_of_cells
from cmdiad.runtime.bundle.manifest import Manifest
from cmdiad.runtime.bundle.reading import Bundle, open_bundle
from cmdiad.runtime.bundle.writing import Content, changed_contents, draft_bundle, rewrite_bundle
from cmdiad.runtime.patches.features import FeatureExtractor
from cmdiad.runtime.patches.routes import HALLUCINATED, MAIN
from cmdiad.runtime.preparation.prepared_part import PreparedPart, prepare_file
from cmdiad.runtime.sensor.part import POINTS
from cmdiad.runtime.threads import SearchThreads, usable_processors
from cmdiad.runtime.timing import StageTimes
from cmdiad.runtime.verdict.decision import Decision
from safetensors.torch import save_file

Array = npt.NDArray[np.float32]

PRECISIONS = ("fp32", "fp16")
BUILT = "built.json"
NEIGHBORS = 2


@dataclass(frozen=True)
class LineSizes:
    """How large a line is.

    Attributes:
        calibrated: scans that fusion and thresholds are learned from.
        normal: scans whose patches the banks hold, those among them.
        rows: of each bank.
        held_out: scans to inspect.
    """

    calibrated: int
    normal: int
    rows: int
    held_out: int


FULL = LineSizes(calibrated=12, normal=80, rows=76_518, held_out=20)
QUICK = LineSizes(calibrated=3, normal=4, rows=4000, held_out=4)


def build_line(folder: Path, sizes: LineSizes, provider: str, clock: RunningClock) -> bool:
    """Write scans, networks and both bundles, unless a line of this size is there, complete.

    Args:
        folder: where to.
        sizes: of the line.
        provider: what runs the networks whose features the banks hold.
        clock: told what is done.

    Returns:
        Whether it was built: false where it was there.
    """
    mark, wanted = folder / BUILT, json.dumps({**asdict(sizes), "provider": provider})
    if mark.exists() and mark.read_text() == wanted:
        return False
    mark.unlink(missing_ok=True)
    clock.say(f"rendering {sizes.normal + sizes.held_out} scans")
    normal = rendered(folder / "normal", FIRST_RAW_SEED, sizes.normal)
    held_out = rendered(folder / "scans", 0, sizes.held_out)
    clock.say("networks")
    networks = seeded_networks(normal[:STATISTICS_SCANS])
    save_file(networks.extractor.state_dict(), folder / EXTRACTOR_WEIGHTS)
    save_file(networks.f2f.state_dict(), folder / F2F_WEIGHTS)
    write_networks(folder / "networks", fp32_graphs(networks))
    clock.say(f"calibrating on {sizes.calibrated} scans, {provider}")
    settings = CalibrationSettings(coreset_ratio=1.0, n_neighbors=NEIGHBORS)
    few = folder / "few"
    calibrate_bundle(
        open_bundle(folder / "networks"), normal[: sizes.calibrated], settings, few, provider, with_line_graph=False
    )
    write_wide(open_bundle(few), folder / "fp32", normal, held_out[:2], sizes.rows, provider, clock)
    write_fp16(open_bundle(folder / "fp32"), folder / "fp16", held_out[:2], clock)
    mark.write_text(wanted)
    return True


def rendered(folder: Path, first_seed: int, count: int) -> list[Path]:
    """Raw scans as `cmdiad synth` compresses them, rendered by all processors."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:03d}.tiff" for number in range(count)]
    # Forked before anything has started a GPU, so that no worker imports torch anew.
    with ProcessPoolExecutor(usable_processors(), get_context("fork")) as pool:
        list(pool.map(_render, paths, range(first_seed, first_seed + count)))
    return paths


def _render(path: Path, seed: int) -> None:
    path.write_bytes(encode_points(raw_scan(RAW_CLASS, seed, RAW_SIZE)))


def prepared_scans(bundle: Bundle, paths: Sequence[Path]) -> list[PreparedPart]:
    """Scans as the bundle's networks see them."""
    manifest = bundle.manifest
    with ThreadPoolExecutor(usable_processors()) as pool:
        return list(
            pool.map(lambda path: prepare_file(path, POINTS, manifest.preprocessing, manifest.part_range), paths)
        )


def write_wide(
    bundle: Bundle,
    out: Path,
    normal: Sequence[Path],
    golden: Sequence[Path],
    rows: int,
    provider: str,
    clock: RunningClock,
) -> None:
    """The calibrated bundle's copy with wide banks and a line graph; fusion and thresholds stay.

    Args:
        bundle: calibrated.
        out: where to.
        normal: scans whose patches the banks hold.
        golden: scans that are not among them, to be recorded.
        rows: of each bank.
        provider: what runs the networks.
        clock: told what is done.
    """
    clock.say(f"features of {len(normal)} scans")
    pools = pooled_features_of(bundle, normal, provider)
    clock.say(f"banks of {rows} of {len(pools[MAIN][0])} rows")
    threads = SearchThreads()
    entries, contents = {}, dict[str, Content]()
    for role, (features, groups) in pools.items():
        entry = bundle.manifest.banks[role]
        normalized = (features - np.float32(entry.feature_mean)) / np.float32(entry.feature_std)
        arrays = wide_bank(normalized, groups, rows, threads).arrays()
        files = {name: entry.files.get(name, f"bank_{role}_{name}.npy") for name in arrays}
        entries[role] = msgspec.structs.replace(entry, files=files, n_rows=len(arrays["rows"]))
        contents |= {files[name]: array for name, array in arrays.items()}
    threads.close()
    manifest = msgspec.structs.replace(bundle.manifest, banks=entries)
    write_with_line(bundle, out, manifest, contents, golden, clock)


def pooled_features_of(
    bundle: Bundle, scans: Sequence[Path], provider: str
) -> dict[str, tuple[Array, npt.NDArray[np.int32]]]:
    """By bank, features (n, D) of all patches of scans and the scan of each, that of patches without points first."""
    extractor = FeatureExtractor(bundle, provider)
    parts = [extractor.extract(prepared, StageTimes()) for prepared in prepared_scans(bundle, scans)]
    counts = [1, *(len(part.main) for part in parts)]
    groups = np.repeat(np.arange(-1, len(parts), dtype=np.int32), counts)
    without = extractor.without_points(parts[0].main.shape[1])
    pools = {}
    for role, patchless, rows in (
        (MAIN, without[0], [part.main for part in parts]),
        (HALLUCINATED, without[1], [part.second for part in parts]),
    ):
        held = [array for array in (patchless, *rows) if array is not None]
        pools[role] = np.concatenate(held), groups
    return pools


def wide_bank(features: Array, groups: npt.NDArray[np.int32], rows: int, threads: SearchThreads) -> MemoryBank:
    """A bank of the first of some features and of others drawn at random; threads share the table of neighbors."""
    drawn = 1 + np.random.default_rng(0).permutation(len(features) - 1)[: rows - 1]
    chosen = np.concatenate([[0], np.sort(drawn)])
    bank = build_bank(features[chosen], "l2", n_neighbors=0, row_groups=groups[chosen])
    if bank.basis is None or bank.cells is None:
        return build_bank(features[chosen], "l2", NEIGHBORS, groups[chosen])
    screen = screen_of_cells(bank.rows, Reduction(bank.basis), bank.cells)
    queries, own, (shared, _) = bank.rows.astype(np.float32), np.arange(len(chosen)), threads.pools()
    nearest = nearest_rows_screened(queries, bank.rows, bank.half_norms, screen, NEIGHBORS, own, shared)
    return replace(bank, neighbors=nearest.index.astype(np.int32))


def write_with_line(
    bundle: Bundle,
    out: Path,
    manifest: Manifest,
    contents: Mapping[str, Content],
    golden: Sequence[Path],
    clock: RunningClock,
) -> None:
    """A bundle's copy with files changed, its line graph and golden scans made anew."""
    clock.say(f"{out.name}: line graph")
    drafted = draft_bundle(bundle.path, manifest, changed_contents(bundle, contents))
    networks = {role: drafted.read(network.file) for role, network in manifest.networks.items()}
    manifest, line = add_line_graph(manifest, networks, Decision.load(drafted), wanted=True)
    clock.say(f"{out.name}: golden scans")
    changed, old = {**contents, **line}, golden_files(bundle.manifest)
    drafted = draft_bundle(bundle.path, manifest, changed_contents(bundle, changed, dropped=old))
    recorded = golden_contents(drafted, {path.stem: path for path in golden})
    clock.say(f"{out.name}: writing")
    rewrite_bundle(bundle, out, manifest, {**changed, **recorded}, dropped=old)


def write_fp16(bundle: Bundle, out: Path, golden: Sequence[Path], clock: RunningClock) -> None:
    """The bundle's copy with fp16 networks, all of whose operators are.

    `cmdiad export` measures which operators must stay in fp32. Of these networks it keeps none, which takes minutes to
    find out, and so is not repeated.
    """
    clock.say("fp16: networks")
    manifest = bundle.manifest
    reduced = {role: all_in_fp16(bundle.read(network.file)) for role, network in manifest.networks.items()}
    networks, files = described(manifest, reduced, "onnx", "fp16")
    manifest = msgspec.structs.replace(manifest, precision="fp16", networks=networks)
    write_with_line(bundle, out, manifest, files, golden, clock)


def all_in_fp16(model: bytes) -> Reduced:
    """A float32 graph in half precision."""
    converted = convert(model, "fp16", kept=())
    return Reduced(converted, converted, kept_by_type(model, "fp16", kept=()))
