"""The options of `cmdiad export` that build TensorRT engines, and what they stand for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..runtime.errors import UsageError
from . import console

if TYPE_CHECKING:
    from ..export.tensorrt import builder

Bundles = Annotated[
    list[Path] | None,
    typer.Option(
        "--bundle",
        help="An exported bundle to convert to another precision or add engines to, instead of exporting a run; with "
        "--triton repeatable.",
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(help="Build TensorRT engines too: tensorrt-rtx (no GPU needed), or tensorrt (on the target GPU)."),
]
Target = Annotated[
    list[str] | None,
    typer.Option(
        "--target", help="Compute capabilities of a tensorrt-rtx engine: sm86,sm89.  Repeat for one engine each."
    ),
]
Batch = Annotated[str, typer.Option(metavar="MIN,OPT,MAX", help="Scans per call of an engine.")]
Workspace = Annotated[
    int | None, typer.Option(min=1, metavar="MIB", help="Limit on the builder's scratch memory.  [default: none]")
]
Tf32 = Annotated[bool, typer.Option("--tf32", help="Let fp32 engines round products to TF32.")]
Strip = Annotated[
    bool,
    typer.Option("--strip-weights", help="Leave the weights out of engines; at load they come from the ONNX graph."),
]
TimingCache = Annotated[Path | None, typer.Option(metavar="FILE", help="Keep tensorrt's timings between builds.")]


def build_engines(
    bundle: Path,
    out: Path,
    engine: str,
    targets: Sequence[str],
    batch: str,
    workspace_mib: int | None,
    tf32: bool,
    strip_weights: bool,
    timing_cache: Path | None,
    report: Callable[[str], None],
) -> None:
    """Add engines to a bundle and say which; see the options above."""
    from ..export.tensorrt.builder import EngineSettings
    from ..export.tensorrt.engines import EngineRequest, add_engines, parse_targets
    from ..runtime.bundle.reading import open_bundle

    settings = EngineSettings(
        batch=parse_batch(batch),
        workspace_bytes=None if workspace_mib is None else workspace_mib << 20,
        tf32=tf32,
        strip=strip_weights,
    )
    request = EngineRequest(engine, parse_targets(targets), settings, timing_cache)
    manifest = add_engines(open_bundle(bundle), out, request, report)
    for entry in manifest.engines:
        console.emit(f"engine: {entry.file} ({entry.flavor} {entry.version}, {' '.join(entry.targets)})")


def parse_batch(text: str) -> builder.Batch:
    """MIN,OPT,MAX as typed.

    Raises:
        UsageError: it is not three whole numbers in order.
    """
    from ..export.tensorrt import builder

    try:
        smallest, best, largest = (int(part) for part in text.split(","))
    except ValueError as cause:
        raise UsageError(f"--batch {text}: give three numbers, such as 1,1,8") from cause
    return builder.Batch(smallest, best, largest)
