"""`cmdiad export`: a trained route's networks as a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..calibration.choices import Calibrator
from ..export.choices import Precision
from . import console, engines, options, signing, triton
from .extras import EXPORT, needs
from .interruption import when_interrupted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..runtime.bundle.parameters import Modality, RouteName

_PrecisionOption = Annotated[
    Precision,
    typer.Option(help="fp16 replaces fp32; bf16 (for engines) and int8 (for engines and the CPU) are added to fp32."),
]
_ScansOption = Annotated[
    list[str] | None,
    typer.Option("--scans", help="Real scans for the parity gate; repeatable.  [default: from the run's data]"),
]
_CalibratorOption = Annotated[Calibrator, typer.Option(help="How int8 ranges are chosen.")]
_AcceptOption = Annotated[
    str,
    typer.Option(metavar="REASON", help="Write the bundle even if the parity gate refuses it; the reason is recorded."),
]


def _takes_networks_as_they_are(values: Mapping[str, Any]) -> bool:
    """Whether bundles are served, or get engines: what lines do too, without torch."""
    adds_engines = values["bundles"] and values["engine"] is not None and values["precision"] == "fp32"
    return values["triton_repository"] is not None or bool(adds_engines)


@needs(EXPORT, unless=_takes_networks_as_they_are)
@when_interrupted("no bundle was written: run it again")
def export(
    run_folder: options.Run = Path("runs/latest"),
    route: options.Route = "f2f",
    main: options.Main = "pc",
    out: Annotated[
        Path | None,
        typer.Option(help="Bundle folder, or a file ending in .cmdiad.  [default: bundle; with --bundle: in place]"),
    ] = None,
    product: Annotated[str | None, typer.Option(help="What the bundle inspects.  [default: the class]")] = None,
    precision: _PrecisionOption = "fp32",
    scans: _ScansOption = None,
    calibrator: _CalibratorOption = "minmax",
    accept: _AcceptOption = "",
    bundles: engines.Bundles = None,
    engine: engines.Engine = None,
    targets: engines.Target = None,
    batch: engines.Batch = "1,1,1",
    workspace_mib: engines.Workspace = None,
    tf32: engines.Tf32 = False,
    strip_weights: engines.Strip = False,
    timing_cache: engines.TimingCache = None,
    triton_repository: triton.Triton = None,
    triton_provider: triton.Provider = None,
    triton_instances: triton.Instances = None,
    triton_batch: triton.Batch = None,
    triton_site: triton.Site = None,
    sign: signing.Sign = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Export a trained route's networks to ONNX, checked against torch, as a bundle to calibrate; build engines.

    With --bundle, change an exported bundle's precision or add engines to it. With --triton, nothing is
    exported: calibrated bundles are added to a Triton model repository.

    Exit codes: 0 done, 2 wrong usage, 4 bad bundle, 5 an engine cannot be built, 6 a graph does not compute the same.
    """
    from ..runtime.bundle.reading import is_signed
    from ..runtime.bundle.writing import protect_calibration
    from ..runtime.errors import UsageError

    how_served = triton_provider, triton_instances, triton_batch, triton_site
    if triton_repository is None:
        triton.refuse_alone(*how_served)
    else:
        if out or product or scans or accept or engine or targets or sign or precision != "fp32":
            raise UsageError("--triton serves bundles as they are: change, build or sign them by a command before")
        triton.write_models(triton_repository, bundles, *how_served, force)
        return
    bundle = triton.single_bundle(bundles)
    if engine is None and ((bundle is not None and precision == "fp32") or targets):
        raise UsageError("--bundle needs --precision or --engine, --target needs --engine: say what to make")
    keys = signing.signing_keys(sign, "export")
    signed_before = bundle is not None and is_signed(bundle)
    target = out or bundle or Path("bundle")
    if not force and (bundle is None or target.resolve() != bundle.resolve()):
        protect_calibration(target, "--out NAME.cmdiad keeps it, --force replaces it")
    with console.progress_display(quiet) as progress:
        report = console.StageReport(progress, "export")
        source = bundle
        if bundle is None or precision != "fp32":
            from ..export.bundles import export_bundle, reduce_bundle
            from ..export.export_settings import ExportSettings

            given = _gate_scans(scans, route, main, bundle)
            settings = ExportSettings(precision, given, calibrator=calibrator, accept=accept)
            if bundle is None:
                export_bundle(run_folder, route, main, target, product, report, settings)
            else:
                reduce_bundle(bundle, target, run_folder, settings, report)
            source = target
        if engine is not None:
            how = targets or [], batch, workspace_mib, tf32, strip_weights, timing_cache
            engines.build_engines(source or target, target, engine, *how, report)
        report.end()
    todo = "" if bundle is not None else f" (not calibrated: run `cmdiad calibrate SCANS --bundle {target}`)"
    console.emit(f"bundle: {target}{todo}")
    signing.finish_signing(target, keys, signed_before)


def _gate_scans(scans: list[str] | None, route: RouteName, main: Modality, bundle: Path | None) -> Sequence[Path]:
    """The files of the parity gate that were asked for: of what the bundle, or the route, measures."""
    from ..runtime.bundle.reading import open_bundle
    from ..runtime.patches.routes import measured_by, modalities
    from ..runtime.sensor.part import find_normal_parts

    measured = measured_by(route, main) if bundle is None else modalities(open_bundle(bundle).manifest)
    return find_normal_parts(scans, measured) if scans else ()
