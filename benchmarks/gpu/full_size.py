"""The full-size line, built on the machine that is measured: seeded networks, real calibration, and large banks.

Point-MAE and F2F in their published sizes, with batch statistics from rendered scans. A few scans are calibrated as a
user calibrates; then every patch of many more becomes a row of the banks, up to the published number, as greedy
selection of so many would take the minutes that the measures need. Golden scans and line graph are made of those banks.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import tifffile
from cmdiad.benchmarks.shared.scans import raw_scan
from cmdiad.benchmarks.shared.workbench import Networks, fp32_graphs, seeded_networks, write_networks
from cmdiad.calibration.calibrate import CalibrationSettings
from cmdiad.calibration.calibrated_bundle import calibrate_bundle
from cmdiad.calibration.golden_rounding import golden_contents, rounding_contents
from cmdiad.calibration.line_graph.building import add_line_graph
from cmdiad.export.precision.casting import convert
from cmdiad.export.precision.reduced import Reduced, described
from cmdiad.runtime.banks.bank import build_bank
from cmdiad.runtime.bundle.manifest import Bank, Manifest
from cmdiad.runtime.bundle.parameters import STRUCTURED_LIGHT
from cmdiad.runtime.bundle.reading import Bundle, open_bundle
from cmdiad.runtime.bundle.writing import Content, changed_contents, draft_bundle, rewrite_bundle
from cmdiad.runtime.patches.features import FeatureExtractor
from cmdiad.runtime.patches.routes import modalities, route_of
from cmdiad.runtime.preparation.prepared_part import prepare_file
from cmdiad.runtime.threads import usable_processors
from cmdiad.runtime.timing import StageTimes
from cmdiad.runtime.verdict.decision import Decision, NormalizedBank

PART, SIZE = "flange", 400
ROWS, SCANS, CALIBRATED, HELD_OUT = 76_518, 76, 12, 8
QUICK_ROWS, QUICK_SCANS = 4_000, 8
SMALL_CORESET = 0.05
PRECISIONS = ("fp32", "fp16")


@dataclass(frozen=True)
class FullSizeLine:
    """What was built.

    Attributes:
        bundles: by precision.
        held_out: raw scans that are not in the banks.
        networks: in torch, for the baseline.
    """

    bundles: dict[str, Bundle]
    held_out: list[Path]
    networks: Networks


def build_line(folder: Path, provider: str, quick: bool) -> FullSizeLine:
    """Write scans and bundles, unless they are there.

    Args:
        folder: where to.
        provider: what runs the networks while the banks are filled.
        quick: a small line, to try the script.
    """
    n_scans, n_rows = (QUICK_SCANS, QUICK_ROWS) if quick else (SCANS, ROWS)
    held_out, normal = rendered_scans(folder / "scans", HELD_OUT, n_scans)
    say(f"{len(normal)} scans")
    networks = seeded_networks(normal[:4])
    full, half = (folder / precision for precision in PRECISIONS)
    if not (full / "line.onnx").is_file():
        fill_banks(calibrated(folder, networks, normal[:CALIBRATED], provider), full, normal, n_rows, provider)
    if not (half / "line.onnx").is_file():
        halve_networks(open_bundle(full), half)
    return FullSizeLine({name: open_bundle(folder / name) for name in PRECISIONS}, held_out, networks)


def rendered_scans(folder: Path, n_held_out: int, n_normal: int) -> tuple[list[Path], list[Path]]:
    """Raw scans of good parts, rendered by all processors: those to inspect, and those for the banks."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:03d}.tiff" for number in range(n_held_out + n_normal)]
    missing = [path for path in paths if not path.is_file()]
    with ProcessPoolExecutor(usable_processors()) as pool:
        list(pool.map(render, missing))
    return paths[:n_held_out], paths[n_held_out:]


def render(path: Path) -> None:
    """One scan, whose seed is its file's number."""
    tifffile.imwrite(path, raw_scan(PART, int(path.stem), SIZE).astype(np.float32))


def calibrated(folder: Path, networks: Networks, scans: list[Path], provider: str) -> Bundle:
    """A bundle calibrated on a few scans, as by `cmdiad calibrate`."""
    exported = folder / "exported"
    write_networks(exported, fp32_graphs(networks), STRUCTURED_LIGHT)
    settings = CalibrationSettings(coreset_ratio=SMALL_CORESET)
    calibrate_bundle(open_bundle(exported), scans, settings, folder / "small", provider, with_line_graph=False)
    say(f"calibrated on {len(scans)} scans")
    return open_bundle(folder / "small")


def fill_banks(small: Bundle, out: Path, scans: list[Path], n_rows: int, provider: str) -> None:
    """Write a bundle whose banks hold all patches of the scans, up to a number of rows."""
    decision = Decision.load(small)
    assert decision.second is not None
    features = patch_features(small, scans, n_rows, provider)
    say(f"features of {len(features[0])} patches")
    with ThreadPoolExecutor(2) as pool:
        banks = list(pool.map(filled, (decision.main, decision.second), features))
    full = Decision(banks[0], banks[1], decision.fusion)
    manifest, contents = with_banks(small.manifest, full)
    say("banks")
    write_with_line(small, out, manifest, contents, full, scans[:2])


def patch_features(
    bundle: Bundle, scans: list[Path], n_rows: int, provider: str
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(n, D) features of both banks, as the networks give them."""
    extractor, manifest = FeatureExtractor(bundle, provider), bundle.manifest
    main, second = [], []
    with ThreadPoolExecutor(usable_processors()) as pool:
        parts = pool.map(lambda scan: prepare_file(scan, modalities(manifest), manifest.preprocessing), scans)
        for part in parts:
            features = extractor.extract(part, StageTimes())
            assert features.second is not None
            main.append(features.main)
            second.append(features.second)
    return np.concatenate(main)[:n_rows], np.concatenate(second)[:n_rows]


def filled(held: NormalizedBank, features: npt.NDArray[np.float32]) -> NormalizedBank:
    """A bank of all features, normalized as another one is."""
    return NormalizedBank(build_bank(held.normalize(features)), held.feature_mean, held.feature_std)


def with_banks(manifest: Manifest, decision: Decision) -> tuple[Manifest, dict[str, Content]]:
    """The manifest with other banks in the places of its own, and their files."""
    entries: dict[str, Bank] = {}
    contents: dict[str, Content] = {}
    banks = [normalized.bank for normalized in (decision.main, decision.second) if normalized is not None]
    for role, bank in zip(route_of(manifest.route, manifest.main).banks, banks, strict=True):
        entry, arrays = manifest.banks[role], bank.arrays()
        files = {name: f"bank_{role}.npy" if name == "rows" else f"bank_{role}_{name}.npy" for name in arrays}
        contents |= {files[name]: array for name, array in arrays.items()}
        entries[role] = msgspec.structs.replace(entry, files=files, n_rows=len(bank.rows))
    return msgspec.structs.replace(manifest, banks=entries), contents


def write_with_line(
    bundle: Bundle,
    out: Path,
    manifest: Manifest,
    contents: Mapping[str, Content],
    decision: Decision,
    golden: list[Path],
) -> None:
    """Write a bundle with its golden scans and its line graph."""
    files = {**contents}
    if golden:
        drafted = draft_bundle(bundle.path, manifest, changed_contents(bundle, files))
        files |= golden_contents(drafted, dict(zip(("normal", "highest"), golden, strict=True)))
        say("golden scans")
    drafted = draft_bundle(bundle.path, manifest, changed_contents(bundle, files))
    models = {role: drafted.read(network.file) for role, network in manifest.networks.items()}
    manifest, line = add_line_graph(manifest, models, decision, wanted=True)
    unneeded = set(bundle.manifest.files) - set(files) - set(line) if golden else set()
    dropped = [name for name in unneeded if name.startswith(("bank_", "golden/", "line.onnx"))]
    rewrite_bundle(bundle, out, manifest, {**files, **line}, dropped=dropped)
    say(f"line graph, {sum(map(len, line.values())) >> 20} MiB")


def halve_networks(bundle: Bundle, out: Path) -> None:
    """The bundle's copy in fp16, banks as they are.

    Networks as `cmdiad export --bundle --precision fp16` writes them, without its search for operators that are better
    left in float32.
    """
    manifest = bundle.manifest
    halves = {role: convert(bundle.read(network.file), "fp16", ()) for role, network in manifest.networks.items()}
    reduced = {role: Reduced(model, model, {}) for role, model in halves.items()}
    entries, files = described(manifest, reduced, "onnx", "fp16")
    manifest = msgspec.structs.replace(manifest, precision="fp16", networks=entries, line_graph=None)
    line = [name for name in bundle.manifest.files if name.startswith("line.onnx")]
    drafted = draft_bundle(bundle.path, manifest, changed_contents(bundle, files, line))
    contents: dict[str, Content] = {**files, **rounding_contents(drafted)}
    say("fp16 networks")
    write_with_line(bundle, out, manifest, contents, Decision.load(bundle), [])


_BEGIN = time.perf_counter()


def elapsed() -> float:
    """Seconds since the script began."""
    return time.perf_counter() - _BEGIN


def say(what: str) -> None:
    """One line on standard error, with the seconds since the script began."""
    print(f"[{elapsed():5.0f} s] {what}", file=sys.stderr, flush=True)
