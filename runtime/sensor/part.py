"""The one way in for a part: which files a route looks at, and how one of them becomes a part."""

from __future__ import annotations

import os
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..bundle.parameters import Modality, Preprocessing
from ..bundle.scan_geometry import AS_STORED, ScanGeometry
from ..errors import ScanError, UsageError, all_of, naming_scan
from . import eyecandies
from .dataset import GOOD, Sample, find_samples, list_classes, normal_folder, place_of
from .find import Found, find_files
from .host_arrays import ArrayInput, host_array
from .image import decode_rgb, read_rgb
from .listing import IMAGES, SCANS, Kind, files_in, is_folder, natural_order
from .missing import valid_mask
from .origin import NEAR, Vector
from .readers import doubtful_suffixes
from .readers.limits import no_such_file
from .scan import Scan, read_scan, scan_from_array, scan_from_bytes

POINTS: frozenset[Modality] = frozenset({"pc"})
IMAGE: frozenset[Modality] = frozenset({"rgb"})
BOTH = POINTS | IMAGE


@dataclass(frozen=True)
class Part:
    """What the sensors saw of one part: points, an image, or both. `part_from_arrays` makes one from any arrays.

    Attributes:
        points: (H, W, 3) float32, meters, missing points zero; None without a 3D sensor.
        rgb: (H, W, 3) uint8, registered with the points; None without a camera.
        origin: what was subtracted from the file's coordinates, meters; see `Scan`.
        notes: what the file holds that the points do not; see `Scan`.
    """

    points: npt.NDArray[np.float32] | None
    rgb: npt.NDArray[np.uint8] | None
    origin: Vector = NEAR
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check what is cheap to check.

        Raises:
            ScanError: there are neither points nor an image, a type or shape is wrong, or their sizes differ.
        """
        if self.points is None and self.rgb is None:
            raise ScanError("there are neither points nor an image: give one of them or both")
        if self.points is not None:
            Scan(self.points)
        if self.rgb is None:
            return
        if self.rgb.dtype != np.uint8 or self.rgb.ndim != 3 or self.rgb.shape[2] != 3:
            shape = " x ".join(map(str, self.rgb.shape))
            raise ScanError(f"the image is {shape} {self.rgb.dtype}: give H x W x 3 uint8, red, green and blue")
        if self.points is not None and self.rgb.shape != self.points.shape:
            raise ScanError(
                f"the image has {self.rgb.shape[:2]} pixels, the scan {self.points.shape[:2]}: they must be registered"
            )

    @classmethod
    def of(cls, scan: Scan, rgb: npt.NDArray[np.uint8] | None) -> Part:
        """The part that a scan shows.

        Raises:
            ScanError: the image's type is wrong, or its size is not the scan's.
        """
        x, y, z = scan.origin.tolist()
        return cls(scan.points, rgb, (x, y, z), scan.notes)

    def coordinates(self) -> npt.NDArray[np.floating]:
        """The points in the file's coordinates: (H, W, 3), meters, missing points zero.

        Float32, or float64 if they are far from the origin, where float32 lacks the digits.

        Raises:
            ScanError: there are no points.
        """
        if self.points is None:
            raise ScanError("there are no points: the part is an image alone")
        if self.origin == NEAR:
            return self.points
        moved = self.points + np.array(self.origin)
        moved[~valid_mask(self.points)] = 0
        return moved


def find_inputs(paths: Sequence[str | Path], measured: AbstractSet[Modality]) -> Found:
    """The files that a route inspects: images if an image is all it sees, otherwise scans (or depth maps).

    A folder stands for the files in it or, in a dataset, for every part below it; see `find_files`.

    Raises:
        ScanError: no path was given.
    """
    return find_files(paths, _kind(measured))


def find_normal_parts(paths: Sequence[str | Path], measured: AbstractSet[Modality]) -> list[Path]:
    """The files of normal parts, to learn from: like `find_inputs`, but never what a dataset calls defective.

    A dataset root of one class, or a class folder, stands for the normal parts it has for training.

    Raises:
        ScanError: no path was given, one stands for nothing, a named file is missing, or a folder cannot be read.
        UsageError: a folder holds several classes or splits, or a file is labeled with a defect.
    """
    if not paths:
        find_files(paths, _kind(measured))
    files: dict[str, Path] = {}
    errors: list[ScanError] = []
    for path in paths:
        try:
            for file in _normal_parts(Path(path), measured):
                files.setdefault(os.path.realpath(file), file)
        except ScanError as error:
            errors.append(error)
    if errors:
        raise all_of(errors, len(files) + len(errors)) from errors[0]
    return natural_order(files.values())


def find_defective_parts(paths: Sequence[str | Path], measured: AbstractSet[Modality]) -> list[Path]:
    """The files of parts with known defects: like `find_inputs`, but never what a dataset calls good.

    Raises:
        ScanError: no path was given, one stands for nothing, or a named file is missing.
        UsageError: a file is labeled good.
    """
    files: dict[str, Path] = {}
    for file in find_inputs(paths, measured).require():
        _require_file(file)
        place = place_of(file)
        if place is not None and place.defect == GOOD:
            raise UsageError(f"{file}: is labeled {GOOD}, so it is not a known defect: leave it out")
        files.setdefault(os.path.realpath(file), file)
    return natural_order(files.values())


def input_file(sample: Sample, measured: AbstractSet[Modality]) -> Path:
    """The file of a sample that a route reads.

    Raises:
        ScanError: the route reads the registered image, and there is none.
    """
    return _image_of(sample) if measured == IMAGE else sample.scan


def registered_image(scan: Path) -> Path:
    """The image registered with a scan: in `rgb/` where the scan lies in `xyz/`, beside it elsewhere.

    Raises:
        ScanError: there is none, or there are several.
    """
    image = _find_image(scan)
    if image is None:
        raise _no_image(scan)
    return image


def read_part(path: Path, measured: AbstractSet[Modality], preprocessing: Preprocessing) -> Part:
    """Read what a route measures: the scan, the image, or the scan and the image registered with it.

    The registered image is the one that the scan's file holds, or a file of its own.

    Args:
        path: the image's file where an image is all that is measured, else the scan's.
        measured: what the route measures.
        preprocessing: its unit and geometry are the scan file's.

    Raises:
        ScanError: a file cannot be read, there is no registered image, or its size is not the scan's.
    """
    if measured == IMAGE:
        return Part(None, read_rgb(path))
    return _read(path, _find_image(path) if "rgb" in measured else None, measured, preprocessing)


def read_sample(sample: Sample, measured: AbstractSet[Modality], preprocessing: Preprocessing) -> Part:
    """Read what a route measures of a dataset's part; arguments and errors are those of `read_part`."""
    if measured == IMAGE:
        return Part(None, read_rgb(_image_of(sample)))
    return _read(sample.scan, sample.rgb if "rgb" in measured else None, measured, preprocessing)


def part_from_bytes(
    data: bytes, measured: AbstractSet[Modality], preprocessing: Preprocessing, image: bytes | None = None
) -> Part:
    """Read what a route measures from the contents of files, as `read_part` does from files.

    Args:
        data: the image's file where an image is all that is measured, else the scan's.
        measured: what the route measures.
        preprocessing: its unit and geometry are the scan file's.
        image: the registered image's file, if the route measures both and the scan's file does not hold it.

    Raises:
        ScanError: a file cannot be read, or the image is missing or of another size; the message names no file.
    """
    if measured == IMAGE:
        return Part(None, decode_rgb(data))
    scan = scan_from_bytes(data, preprocessing.metres_per_unit, preprocessing.geometry)
    if "rgb" not in measured:
        return Part.of(scan, None)
    if scan.rgb is not None and image is not None:
        raise ScanError("there are two registered images, one in the scan's file and one next to it: give only one")
    if scan.rgb is None and image is None:
        raise ScanError("there is no registered image: this route measures points and image")
    return Part.of(scan, scan.rgb if image is None else decode_rgb(image))


def part_from_arrays(
    points: ArrayInput | None = None,
    rgb: ArrayInput | None = None,
    metres_per_unit: float | None = None,
    geometry: ScanGeometry = AS_STORED,
) -> Part:
    """Make a part from arrays, which are treated as the same numbers in a file would be.

    Both are copied once (points as float32 meters), so a camera may write its next frame into the same memory.

    Args:
        points: (H, W, 3) of any numeric type; (0, 0, 0), masked or not finite where nothing was measured. A NumPy
            array, or anything with `__array__` or DLPack, in the host's memory. Depending on the geometry also (N, 3),
            or (H, W) depths or heights.
        rgb: (H, W, 3) uint8, registered with the points.
        metres_per_unit: the points' unit; integers need it, floats without it are meters.
        geometry: what the numbers leave unsaid; see `ScanGeometry`.

    Raises:
        ScanError: a shape or type is wrong, the sizes differ, no point was measured, or the unit is not known.
        UsageError: metres_per_unit is not positive, or an argument is not an array or is on a GPU.

    Example:
        >>> millimeters = np.arange(500, 1076, dtype=np.uint16).reshape(12, 16, 3)
        >>> part_from_arrays(millimeters, metres_per_unit=0.001).points[0, 0]
        array([0.5  , 0.501, 0.502], dtype=float32)
    """
    image = None if rgb is None else np.array(host_array(rgb, "rgb"), order="C")
    if points is None:
        return Part(None, image)
    return Part.of(scan_from_array(host_array(points, "points"), metres_per_unit, geometry), image)


def input_suffixes(measured: AbstractSet[Modality], geometry: ScanGeometry = AS_STORED) -> tuple[str, ...]:
    """The suffixes of the files that a route inspects, in lower case.

    Suffixes that many other files have, such as .png and .txt, are included if the geometry says that the sensor's
    scans are such files.
    """
    if measured == IMAGE:
        return IMAGES.suffixes
    return (*SCANS.suffixes, *doubtful_suffixes(geometry))


def _kind(measured: AbstractSet[Modality]) -> Kind:
    return IMAGES if measured == IMAGE else SCANS


def _read(scan: Path, image: Path | None, measured: AbstractSet[Modality], preprocessing: Preprocessing) -> Part:
    read = read_scan(scan, preprocessing.metres_per_unit, preprocessing.geometry)
    if "rgb" not in measured:
        return Part.of(read, None)
    if image is None and read.rgb is None:
        raise _no_image(scan)
    if image is not None and read.rgb is not None:
        raise ScanError(f"{scan}: holds its registered image, and {image} may be one too: remove one")
    rgb = read.rgb if image is None else read_rgb(image)
    with naming_scan(scan):
        return Part.of(read, rgb)


def _find_image(scan: Path) -> Path | None:
    """The file of a scan's registered image; None where there is none."""
    if eyecandies.is_depth_map(scan):
        images = [image for image in [eyecandies.companion(scan, eyecandies.IMAGE)] if image.is_file()]
    else:
        candidates = files_in(_image_folder(scan), IMAGES)
        images = [image for image in candidates if image.stem == scan.stem and not _is_same(image, scan)]
    if len(images) > 1:
        raise ScanError(f"{scan}: {' and '.join(map(str, images))} may both be its registered image: remove one")
    return images[0] if images else None


def _is_same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _normal_parts(path: Path, measured: AbstractSet[Modality]) -> list[Path]:
    """What one path stands for."""
    if classes := list_classes(path) if is_folder(path) else {}:
        if len(classes) > 1:
            raise _several(path, "classes", list(classes), next(iter(classes.values())))
        samples = find_samples(next(iter(classes.values())), "train", GOOD)
        return [input_file(sample, measured) for sample in samples]
    files = find_inputs([path], measured).require()
    _refuse_what_is_not_normal(path, files)
    return files


def _refuse_what_is_not_normal(path: Path, files: Sequence[Path]) -> None:
    places = {}
    for file in files:
        _require_file(file)
        place = place_of(file)
        if place is not None and place.defect != GOOD:
            normal = normal_folder(place.class_folder)
            raise UsageError(
                f"{file}: is labeled {place.defect}, but only normal parts are learned from: give {normal}"
            )
        if place is not None:
            places[f"{place.class_folder.name}/{place.split}"] = place
    if is_folder(path) and len(places) > 1:
        raise _several(path, "splits", list(places), next(iter(places.values())).class_folder)


def _require_file(file: Path) -> None:
    try:
        file.stat()
    except FileNotFoundError as error:
        raise no_such_file(file) from error
    except OSError as error:
        raise ScanError(
            f"{file}: cannot be read: {error.strerror}: check its name, its permissions and the disk"
        ) from error


def _several(path: Path, what: str, names: Sequence[str], class_folder: Path) -> UsageError:
    return UsageError(
        f"{path}: holds several {what} ({', '.join(names)}): give the normal parts of one product, such as "
        f"{normal_folder(class_folder)}"
    )


def _image_of(sample: Sample) -> Path:
    if sample.rgb is None:
        raise _no_image(sample.scan)
    return sample.rgb


def _no_image(scan: Path) -> ScanError:
    if eyecandies.is_depth_map(scan):
        return ScanError(f"{scan}: its registered image {eyecandies.companion(scan, eyecandies.IMAGE)} is missing")
    folder = _image_folder(scan)
    suffixes = IMAGES.suffixes_in_folder if folder.name == IMAGES.folder else IMAGES.suffixes
    names = ", ".join(f"{scan.stem}{suffix}" for suffix in suffixes)
    return ScanError(f"{scan}: there is no registered image for it in {folder}: name it one of {names}")


def _image_folder(scan: Path) -> Path:
    scan = scan if scan.parent.name else scan.absolute()
    return scan.parent.with_name(IMAGES.folder) if scan.parent.name == SCANS.folder else scan.parent
