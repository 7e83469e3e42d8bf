"""The full-size line that the benchmarks measure: seeded networks, and banks calibrated on real or rendered scans.

    python benchmarks/shared/workbench.py FOLDER [--quick] [SCANS]

Point-MAE (1,024 x 128 groups) and F2F in their published sizes with seeded random weights; batch normalizations hold
the statistics of the scans, as those of a trained network do, so that features follow the shape of the part. The banks
come from the real calibration: 20 % of the patches of 122 normal scans, 76,000 rows each. SCANS is a
folder of `*.tiff` scans, used again turned about the camera's axis where there are fewer; else parts are rendered.

Writes FOLDER/exact, the calibrated bundle with banks in fp32, FOLDER/{fp32,int8}, the same with banks in fp16 and its
int8 copy (as `cmdiad export --bundle --precision int8` makes it), FOLDER/scans, normal scans that are not in the banks,
and FOLDER/raw, the int8 bundle with banks of as many rendered raw scans. Not a benchmark itself.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import tifffile
import torch
from cmdiad.benchmarks.shared.paper_pipeline import PaperBank, PaperPipeline
from cmdiad.benchmarks.shared.scans import raw_scan, real_or_rendered
from cmdiad.calibration.calibrated_bundle import calibrate_bundle
from cmdiad.calibration.calibration_settings import CalibrationSettings
from cmdiad.calibration.choices import BankPrecision
from cmdiad.export.bundles import exported, extractor_spec, hallucinator_spec
from cmdiad.export.graphs import describe_network
from cmdiad.export.precision.reduced import cpu_int8, described
from cmdiad.runtime.banks.exact import half_sq_norms
from cmdiad.runtime.bundle.manifest import Manifest
from cmdiad.runtime.bundle.parameters import STRUCTURED_LIGHT, Preprocessing
from cmdiad.runtime.bundle.reading import Bundle, open_bundle
from cmdiad.runtime.bundle.writing import Content, rewrite_bundle, write_bundle
from cmdiad.runtime.inspection import Inspection
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.patches.grouping import group_points
from cmdiad.runtime.patches.pooling import foreground_patches
from cmdiad.runtime.patches.routes import EXTRACTOR, HALLUCINATOR
from cmdiad.runtime.preparation.prepare import PreparedScan, prepare
from cmdiad.runtime.sensor.part import Part
from cmdiad.runtime.sensor.scan import read_scan
from cmdiad.runtime.verdict.decision import Decision, NormalizedBank
from cmdiad.training.extractors.by_name import Extractor
from cmdiad.training.extractors.point_transformer import POINT_MAE_FULL, PointTransformer
from cmdiad.training.routes.distillation import DEFAULT, distillation
from cmdiad.training.routes.f2f import FeatureToFeature, Hallucinator
from safetensors.torch import load_file, save_file

PRECISIONS = ("fp32", "int8")
NORMAL_SCANS, QUICK_SCANS = 122, 12
CORESET_RATIO = 0.2
HELD_OUT = 20
STATISTICS_SCANS = 8
TYPICAL_PATCHES = 1250
PREPROCESSING = STRUCTURED_LIGHT
EXACT = "exact"
RAW, RAW_CLASS, RAW_SIZE, FIRST_RAW_SEED = "raw", "flange", 400, 100
EXTRACTOR_WEIGHTS, F2F_WEIGHTS = "point_mae.safetensors", "f2f.safetensors"


@dataclass(frozen=True)
class Networks:
    """The seeded networks, in eval mode."""

    extractor: PointTransformer
    f2f: FeatureToFeature


def build(folder: Path, quick: bool, source: Path | None) -> None:
    """Write scans, networks and bundles, unless they are there."""
    n_normal = QUICK_SCANS if quick else NORMAL_SCANS
    fp32, int8, raw = (folder / name for name in (*PRECISIONS, RAW))
    if not is_calibrated(int8):
        normal = write_scans(folder, n_normal, source)
        networks = seeded_networks(normal[:STATISTICS_SCANS])
        save_file(networks.extractor.state_dict(), folder / EXTRACTOR_WEIGHTS)
        save_file(networks.f2f.state_dict(), folder / F2F_WEIGHTS)
        exact = folder / EXACT
        write_networks(exact, fp32_graphs(networks))
        calibrate(exact, normal, exact, "fp32")
        write_fp16_banks(open_bundle(exact), fp32)
        write_int8(open_bundle(fp32), int8)
    if not is_calibrated(raw):
        calibrate(int8, write_raw_scans(folder, n_normal), raw, "fp16")


def is_calibrated(bundle: Path) -> bool:
    """Whether a bundle has its banks."""
    return (bundle / "bank_main.npy").is_file()


def calibrate(bundle: Path, scans_of_good_parts: list[Path], out: Path, bank_precision: BankPrecision) -> None:
    """Calibrate a bundle as a user does, but for the share of patches that are kept."""
    settings = CalibrationSettings(coreset_ratio=CORESET_RATIO, bank_precision=bank_precision)
    print(f"calibrating on {len(scans_of_good_parts)} scans: {out}", file=sys.stderr, flush=True)
    calibrate_bundle(
        open_bundle(bundle), scans_of_good_parts, settings, out, progress=print_stage, with_line_graph=False
    )


def write_raw_scans(folder: Path, count: int) -> list[Path]:
    """Rendered raw scans, at half the resolution of an inspected one: the networks see fewer pixels yet."""
    paths = [folder / "raw_normal" / f"{number:03d}.tiff" for number in range(count)]
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(paths):
        tifffile.imwrite(path, raw_scan(RAW_CLASS, FIRST_RAW_SEED + number, RAW_SIZE))
    return paths


def write_scans(folder: Path, n_normal: int, source: Path | None) -> list[Path]:
    """Held-out scans and, returned, those for the banks, as float32 TIFFs."""
    paths = []
    for number, points in enumerate(real_or_rendered(n_normal + HELD_OUT, source)):
        path = folder / ("scans" if number < HELD_OUT else "normal") / f"{number:03d}.tiff"
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, points.astype(np.float32))
        paths.append(path)
    return paths[HELD_OUT:]


def held_out_scans(folder: Path) -> list[Path]:
    """The scans to inspect."""
    return sorted((folder / "scans").glob("*.tiff"))


def seeded_networks(statistics_from: list[Path]) -> Networks:
    """Random weights, and batch statistics from scans."""
    torch.manual_seed(0)
    extractor = PointTransformer(POINT_MAE_FULL)
    f2f = FeatureToFeature(POINT_MAE_FULL.token_dim, POINT_MAE_FULL.token_dim)
    for module in extractor.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.momentum = None  # the mean over all scans
    with torch.no_grad():
        for path in statistics_from:
            prepared = prepare(tifffile.imread(path), PREPROCESSING)
            groups = group_points(prepared.points[prepared.valid], POINT_MAE_FULL.grouping)
            extractor.encoder(torch.from_numpy(groups.groups[None]))
    return Networks(extractor.eval(), f2f.eval())


def load_networks(folder: Path) -> Networks:
    """The networks that the bundles of a folder were exported from."""
    extractor = PointTransformer(POINT_MAE_FULL)
    extractor.load_state_dict(load_file(folder / EXTRACTOR_WEIGHTS))
    f2f = FeatureToFeature(POINT_MAE_FULL.token_dim, POINT_MAE_FULL.token_dim)
    f2f.load_state_dict(load_file(folder / F2F_WEIGHTS))
    return Networks(extractor.eval(), f2f.eval())


def fp32_graphs(networks: Networks) -> dict[str, bytes]:
    """Both networks as ONNX graphs, checked against torch, by role."""
    extractor = Extractor("point-mae", "pc", networks.extractor, POINT_MAE_FULL.grouping, "")
    hallucinator = Hallucinator(networks.f2f, "pc")
    return {
        EXTRACTOR: exported(networks.extractor, extractor_spec(extractor)),
        HALLUCINATOR: exported(hallucinator, hallucinator_spec(distillation(DEFAULT), hallucinator)),
    }


def write_networks(folder: Path, models: dict[str, bytes], preprocessing: Preprocessing = PREPROCESSING) -> Manifest:
    """A bundle that lacks only its calibration."""
    manifest = Manifest(
        product="benchmark",
        route="f2f",
        main="pc",
        precision="fp32",
        preprocessing=preprocessing,
        grouping=POINT_MAE_FULL.grouping,
        networks={role: describe_network(model, f"{role}.onnx", role) for role, model in models.items()},
    )
    return write_bundle(folder, manifest, {f"{role}.onnx": model for role, model in models.items()})


def write_fp16_banks(bundle: Bundle, out: Path) -> None:
    """The bundle's copy whose banks are held in fp16: with the same rows, not calibrated anew."""
    contents: dict[str, Content] = {}
    for entry in bundle.manifest.banks.values():
        rows = bundle.array(entry.files["rows"]).astype(np.float16)
        contents |= {entry.files["rows"]: rows, entry.files["half_norms"]: half_sq_norms(rows)}
    rewrite_bundle(bundle, out, bundle.manifest, contents)


def write_int8(bundle: Bundle, out: Path) -> None:
    """The bundle's copy whose networks the CPU provider runs in int8."""
    manifest = bundle.manifest
    reduced = {role: cpu_int8(bundle.read(network.file)) for role, network in manifest.networks.items()}
    networks, files = described(manifest, reduced, "int8.cpu.onnx", "int8")
    rewrite_bundle(bundle, out, msgspec.structs.replace(manifest, precision="int8", cpu_networks=networks), files)


def typical_scan(folder: Path) -> PreparedScan:
    """The held-out scan whose number of patches is nearest to that of a typical part."""
    scans = [prepare(read_scan(path).points, PREPROCESSING) for path in held_out_scans(folder)]
    return min(scans, key=lambda scan: abs(int(foreground_patches(scan.valid).sum()) - TYPICAL_PATCHES))


def for_prepared(bundle: Bundle) -> Bundle:
    """The same bundle for scans that are preprocessed and of the networks' size: nothing is removed or padded."""
    nothing = msgspec.structs.replace(bundle.manifest.preprocessing, plane="never", pad_multiple=1)
    return Bundle(bundle.path, msgspec.structs.replace(bundle.manifest, preprocessing=nothing), bundle.store)


def paper_pipeline(folder: Path, bundle: Bundle, precise: bool = False) -> PaperPipeline:
    """The baseline, or the oracle, with the networks, banks and fusion that the fp32 line has."""
    networks, decision = load_networks(folder), Decision.load(bundle)
    assert decision.second is not None
    assert decision.fusion is not None
    banks = (paper_bank(decision.main), paper_bank(decision.second))
    return PaperPipeline(networks.extractor, networks.f2f, *banks, decision.fusion, precise)


def paper_bank(held: NormalizedBank) -> PaperBank:
    """The bank with its mean put back."""
    rows = torch.from_numpy(held.bank.rows.astype(np.float32) + held.bank.mean)
    return PaperBank(rows, held.feature_mean, held.feature_std)


def inspect_prepared(inspector: Inspector, scan: PreparedScan) -> Inspection:
    """A preprocessed scan of the networks' size; nothing is left to remove from it."""
    return inspector.inspect(Part(scan.points, None))


def print_stage(stage: str, done: int, wanted: int, remark: str) -> None:
    """One line for every stage that ends."""
    if done == wanted:
        print(f"{time.strftime('%H:%M:%S')} {stage} {remark}", file=sys.stderr, flush=True)


def main(arguments: list[str]) -> None:
    """Build the folder that was asked for."""
    places = [Path(argument) for argument in arguments if not argument.startswith("--")]
    if not 1 <= len(places) <= 2:
        raise SystemExit("usage: python benchmarks/shared/workbench.py FOLDER [--quick] [SCANS]")
    build(places[0], "--quick" in arguments, places[1] if len(places) == 2 else None)


if __name__ == "__main__":
    main(sys.argv[1:])
