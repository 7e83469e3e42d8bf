"""Bundles as a Triton model repository: a model a product, a version a bundle, and nothing half written."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...runtime.bundle import manifest as manifest_format
from ...runtime.bundle.reading import Bundle, open_bundle, require_calibration
from ...runtime.bundle.signature import NAME as SIGNATURE
from ...runtime.bundle.signature import find_trusted
from ...runtime.errors import BundleError, UsageError
from ...runtime.files.atomic import atomic_write_bytes, naming_place
from ...runtime.files.atomic_folder import NEW, put_in_place, remove_leftovers, work_folder
from ...runtime.triton.served_model import ARCHIVE, FOLDER, bundle_of
from .pbtxt import TritonOptions, config_text

CONFIG, MODEL = "config.pbtxt", "model.py"


@dataclass(frozen=True)
class TritonVersion:
    """What became of one bundle in a repository.

    Attributes:
        model: the model's name, made of the product's.
        version: its number.
        folder: where it lies.
        is_new: whether it was written now; else the newest version has this bundle already.
        config_kept: whether a config.pbtxt was there that says something else, and stays.
    """

    model: str
    version: int
    folder: Path
    is_new: bool
    config_kept: bool


def write_repository(
    repository: Path, bundles: Sequence[Path], options: TritonOptions, force: bool = False
) -> list[TritonVersion]:
    """Add calibrated bundles to a model repository, which is created if it is missing.

    A product that is there gets its next version; the versions before stay, and nothing is loaded or unloaded.

    Args:
        repository: the folder that `tritonserver --model-repository` is given.
        bundles: folders or .cmdiad files, each of another product.
        options: of config.pbtxt; what they leave open stays as it is there.
        force: replace a config.pbtxt that says something else.

    Raises:
        BundleError: a bundle is missing, changed or not calibrated.
        UsageError: two bundles are of one product, or a product's name can be none of a folder.
        OutputError: it cannot be written.

    Example:
        >>> write_repository(Path("models"), [Path("flange.cmdiad")], TritonOptions())  # doctest: +SKIP
        [TritonVersion(model='flange', version=1, ...)]
    """
    opened = [open_bundle(path, find_trusted()) for path in bundles]
    names: dict[str, Path] = {}
    for bundle in opened:
        require_calibration(bundle)
        name = model_name(bundle)
        if name in names:
            raise UsageError(f"{names[name]} and {bundle.path} are both of product {name}: export them one by one")
        names[name] = bundle.path
    with naming_place(repository):
        return [_add(repository, name, bundle, options, force) for name, bundle in zip(names, opened, strict=True)]


def model_name(bundle: Bundle) -> str:
    """A product's name as Triton and its URLs take it: letters, digits, `_`, `.` and `-`.

    Raises:
        UsageError: nothing is left of it.
    """
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", bundle.manifest.product).strip("._-")
    if not name:
        raise UsageError(
            f"{bundle.path}: the product {bundle.manifest.product!r} cannot be a model's name: export it with --product"
        )
    return name


def versions_of(folder: Path) -> list[int]:
    """The versions that a model's folder holds, the newest last."""
    if not folder.is_dir():
        return []
    return sorted(int(entry.name) for entry in folder.iterdir() if re.fullmatch(r"[1-9][0-9]*", entry.name))


def _add(repository: Path, name: str, bundle: Bundle, options: TritonOptions, force: bool) -> TritonVersion:
    folder = repository / name
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / CONFIG
    before = config.read_text(encoding="utf-8") if config.exists() else ""
    text = config_text(name, options.over(before))
    versions = versions_of(folder)
    newest = versions[-1] if versions else 0
    is_new = not versions or _digest_of(folder / str(newest)) != bundle.manifest.digest
    version = newest + is_new
    if is_new:
        _write_version(folder / str(version), bundle)
    differs = config.exists() and before != text
    if not config.exists() or (differs and force):
        atomic_write_bytes(config, text.encode())
    return TritonVersion(name, version, folder / str(version), is_new, differs and not force)


def _write_version(target: Path, bundle: Bundle) -> None:
    """Copy a bundle and its model.py into a folder that appears whole, and verify the copy before."""
    remove_leftovers(target)
    with work_folder(target) as work:
        (work / NEW).mkdir()
        if bundle.path.is_dir():
            for name in (manifest_format.NAME, SIGNATURE, *bundle.manifest.files):
                if (bundle.path / name).exists():
                    place = work / NEW / FOLDER / name
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(bundle.path / name, place)
        else:
            shutil.copyfile(bundle.path, work / NEW / ARCHIVE)
        shutil.copyfile(Path(__file__).with_name(MODEL), work / NEW / MODEL)
        open_bundle(bundle_of(work / NEW))
        _sync(work / NEW)
        put_in_place(work, target)


def _sync(folder: Path) -> None:
    """Have all files of a folder on disk before the folder takes its name."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())


def _digest_of(version: Path) -> str | None:
    """Of a version's bundle; None where it cannot be read, and so is none that is wanted."""
    try:
        return open_bundle(bundle_of(version)).manifest.digest
    except BundleError:
        return None
