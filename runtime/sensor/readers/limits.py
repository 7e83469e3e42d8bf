"""What a scan may declare before memory is allocated for it."""

from __future__ import annotations

from pathlib import Path
from stat import S_ISDIR, S_ISREG

from ...errors import DamagedScanError, ScanError

# The largest area scanners give a tenth of this.
MAX_PIXELS = 64 * 2**20
# 64 bytes a point: three doubles in text, with color beside them.
MAX_FILE_BYTES = 64 * MAX_PIXELS
# What compression may claim beyond what it can be believed: scans of 8 million points, and 20 points a byte. A view of
# which one percent was measured, the rest zeros, has six.
MAX_UNPACKED_POINTS = 8 * 2**20
MAX_UNPACKED_PIXELS = 16 * 2**20  # of images and masks: less is made of a pixel than of a point
MAX_POINTS_PER_BYTE = 20
# Headers of text formats; real ones have a few hundred bytes.
MAX_HEADER_BYTES = 64 * 2**10


def check_grid(height: int, width: int) -> None:
    """Refuse a grid that is not an image, or too large to be a scan.

    Raises:
        ScanError: fewer than 2 rows or columns, or more than MAX_PIXELS pixels.
    """
    if height < 2 or width < 2:
        raise ScanError(
            f"is an unorganized point cloud ({height} x {width}): save it organized, with the sensor's rows and columns"
        )
    if height * width > MAX_PIXELS:
        raise DamagedScanError(
            f"declares {height} x {width} points, more than the {MAX_PIXELS} that are read: "
            "record or copy it again, or save a part of the view"
        )


def check_unpacked(n_points: int, n_bytes: int, most: int = MAX_UNPACKED_POINTS) -> None:
    """Refuse compressed data that grow beyond all measure, before they do.

    Args:
        n_points: points or pixels that they are to become.
        n_bytes: as they lie in the file.
        most: as many are believed of any file.

    Raises:
        ScanError: more than `most` of them, and more than MAX_POINTS_PER_BYTE.
    """
    if n_points > max(most, MAX_POINTS_PER_BYTE * n_bytes):
        raise ScanError(
            f"declares {n_points} points in {n_bytes} compressed bytes, which no sensor's scan has: record or copy it "
            "again, or save it without compression"
        )


def check_shape(shape: tuple[int, ...]) -> None:
    """Refuse an array that is not (H, W, 3).

    Raises:
        ScanError: says what it is instead.
    """
    if len(shape) == 2 and shape[1] == 3:
        check_grid(1, shape[0])
    if len(shape) != 3 or shape[2] != 3:
        described = " x ".join(map(str, shape)) or "a single number"
        kind = " (a depth or gray image?)" if len(shape) == 2 else ""
        raise ScanError(f"holds {described}{kind}, not H x W x 3: give x, y and z of every pixel")
    check_grid(shape[0], shape[1])


def check_stored_shape(shape: tuple[int, ...]) -> None:
    """Refuse an array that is neither points, organized (H, W, 3) or not (N, 3), nor one number a pixel, (H, W).

    Raises:
        ScanError: says what it is instead, or that it is too large.
    """
    if len(shape) == 2 and shape[1] == 3:
        check_count(shape[0])
    elif len(shape) == 2:
        check_grid(shape[0], shape[1])
    else:
        check_shape(shape)


def check_count(points: int) -> None:
    """Refuse more points than a scan has, or none.

    Raises:
        ScanError: says how many there are.
    """
    if not 0 < points <= MAX_PIXELS:
        raise DamagedScanError(f"declares {points} points, and 1 to {MAX_PIXELS} are read: record or copy it again")


def no_such_file(path: Path) -> ScanError:
    """The error for a name that stands for nothing; one without a suffix may be meant to be a folder's."""
    return ScanError(f"{path}: there is no such file{'' if path.suffix else ' or folder'}: check its name")


def read_bounded(path: Path) -> bytes:
    """Read a whole file.

    Raises:
        ScanError: it is missing, not a file, empty, too large or not readable. The message names the file.
    """
    try:
        status = path.stat()
        if S_ISDIR(status.st_mode):
            raise ScanError(f"{path}: is a folder: give a file")
        if not S_ISREG(status.st_mode):
            raise ScanError(f"{path}: is not a regular file: give a file")
        if status.st_size == 0:
            raise DamagedScanError(f"{path}: is empty (0 bytes): record or copy it again")
        if status.st_size > MAX_FILE_BYTES:
            raise ScanError(
                f"{path}: has {status.st_size} bytes, more than the {MAX_FILE_BYTES} that are read: save float32"
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise no_such_file(path) from error
    except (OSError, ValueError) as error:
        # ValueError: a null byte in the name.
        reason = getattr(error, "strerror", None) or str(error)
        raise ScanError(f"{path}: cannot be read: {reason}: check its name, its permissions and the disk") from error
    except MemoryError as error:
        raise ScanError(
            f"{path}: is too large for this machine's memory: close other programs or save fewer points"
        ) from error
