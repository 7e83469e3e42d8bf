"""`cmdiad.calibrate`: what the command `cmdiad calibrate` does, for programs, with files and arrays.

Arrays are converted one after the other; only two of them are written, as the golden scans that every bundle has.

    done = cmdiad.calibrate(frames, "exported", "lid.cmdiad", product="lid")
    print(done.manifest.calibration.threshold.value)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ..runtime.bundle.parameters import Modality, Preprocessing
from ..runtime.errors import UsageError
from ..runtime.extras import CALIBRATE, require_extras
from ..runtime.progress import Progress
from ..runtime.sensor.host_arrays import ArrayInput, host_array
from ..runtime.sensor.in_memory import PartInMemory, PartSource
from ..runtime.sensor.part import Part, find_defective_parts, find_normal_parts
from .calibration_settings import CalibrationSettings

if TYPE_CHECKING:
    from ..runtime.bundle.reading import Bundle
    from .calibrated_bundle import Completed

_DIMENSIONS = 3

NormalPart: TypeAlias = str | Path | PartInMemory | Part | ArrayInput
"""One normal part, or a name that stands for several files."""


def calibrate(
    scans: str | Path | Iterable[NormalPart],
    bundle: str | Path | None = None,
    out: str | Path | None = None,
    settings: CalibrationSettings | None = None,
    *,
    product: str | None = None,
    preprocessing: Preprocessing | None = None,
    defective: NormalPart | list[NormalPart] | tuple[NormalPart, ...] | None = None,
    line_graph: bool | None = None,
    provider: str = "cpu",
    force: bool = False,
    progress: Progress = lambda *_: None,
) -> Completed:
    """Calibrate a bundle on normal scans, as `cmdiad calibrate` does; arrays must not change until it returns.

    Args:
        scans: normal parts: files, folders, globs, arrays (images if that is all the bundle measures), `Part`, or
            `PartInMemory`, which has a name and may hold points and image; or a mixture of these.
        bundle: an exported bundle, calibrated before or not; None: $CMDIAD_BUNDLE, else ./bundle.
        out: where to write the calibrated bundle; None: in place.
        settings: None: the paper's.
        product: what the bundle inspects; None: the class whose normal parts the files are, else unchanged.
        preprocessing: the parameters of another sensor; None: unchanged, but raw or preprocessed is decided anew.
        defective: known defects, which place the threshold; the clearest is kept for `cmdiad-rt selftest`.
        line_graph: whether to write the fused graph for GPUs; None: if it is below 256 MiB.
        provider: what will run the networks.
        force: replace a bundle that is calibrated.
        progress: called with (stage, done, all, remark).

    Raises:
        UsageError: too few parts, copies, two parts of one name, a calibrated bundle at `out`, or a missing extra.
        ScanError, BundleError: a part cannot be used, or the bundle cannot.
    """
    require_extras("calibrate", CALIBRATE)
    from .calibrated_bundle import calibrate_bundle

    source, target, parts, shown = _gathered(scans, bundle, out, defective, force)
    how = product, preprocessing, progress, shown, line_graph
    return calibrate_bundle(source, parts, settings or CalibrationSettings(), target, provider, *how)


def _gathered(
    scans: str | Path | Iterable[NormalPart],
    bundle: str | Path | None,
    out: str | Path | None,
    defective: NormalPart | list[NormalPart] | tuple[NormalPart, ...] | None,
    force: bool,
) -> tuple[Bundle, Path, list[PartSource], list[PartSource]]:
    """The bundle, where the calibrated one goes, the normal parts and the defective ones; see `calibrate`."""
    from ..runtime.bundle.reading import find_bundle, open_bundle
    from ..runtime.bundle.writing import protect_calibration
    from ..runtime.patches.routes import modalities

    source = open_bundle(find_bundle(bundle))
    measured = modalities(source.manifest)
    parts = normal_parts(scans, measured)
    target = source.path if out is None else Path(out)
    if not force:
        protect_calibration(target, "give `out` another name to keep it, or `force=True` to replace it")
    return source, target, parts, [] if defective is None else _defective_parts(defective, measured)


def normal_parts(scans: str | Path | Iterable[NormalPart], measured: AbstractSet[Modality]) -> list[PartSource]:
    """The parts to calibrate on: files first, in natural order, then those in memory, in the order given.

    An array is named by its place, such as `array 3`.

    Args:
        scans: see `calibrate`.
        measured: what the route measures; an array is an image if that is all.

    Raises:
        UsageError: two parts in memory have one name, or something is neither a path nor an array.
        ScanError: a path stands for nothing.

    Example:
        >>> import numpy as np
        >>> [str(part) for part in normal_parts(np.ones((2, 4, 5, 3)), frozenset({"pc"}))]
        ['array 1', 'array 2']
    """
    given: list[NormalPart] = [scans] if isinstance(scans, str | Path) else list(scans)
    paths = [str(part) for part in given if isinstance(part, str | Path)]
    held = [
        _in_memory(part, f"array {number}", measured)
        for number, part in enumerate(given, 1)
        if not isinstance(part, str | Path)
    ]
    _refuse_equal_names(held)
    files = find_normal_parts(paths, measured) if paths or not held else []
    return [*files, *held]


def _defective_parts(
    given: NormalPart | list[NormalPart] | tuple[NormalPart, ...], measured: AbstractSet[Modality]
) -> list[PartSource]:
    """Known defects: files first, then what is in memory; an array that is not in a list is one part."""
    several: list[NormalPart] = list(given) if isinstance(given, list | tuple) else [given]
    paths = [part for part in several if isinstance(part, str | Path)]
    arrays = [part for part in several if not isinstance(part, str | Path)]
    held = [_in_memory(part, f"defective part {number}", measured) for number, part in enumerate(arrays, 1)]
    _refuse_equal_names(held)
    return [*(find_defective_parts(paths, measured) if paths else ()), *held]


def _in_memory(part: PartInMemory | Part | ArrayInput, name: str, measured: AbstractSet[Modality]) -> PartInMemory:
    if isinstance(part, PartInMemory):
        return part
    if isinstance(part, Part):
        return PartInMemory(name, part)
    seen = host_array(part, name)
    if seen.ndim != _DIMENSIONS:
        raise UsageError(f"{name} has {seen.ndim} dimensions: give a list of arrays of H x W x 3, one a part")
    return PartInMemory(name, seen) if "pc" in measured else PartInMemory(name, None, seen)


def _refuse_equal_names(parts: Sequence[PartInMemory]) -> None:
    name, count = max(Counter(part.name for part in parts).items(), key=lambda item: item[1], default=("", 0))
    if count > 1:
        raise UsageError(f"{count} parts in memory are called {name!r}: give each its own name")
