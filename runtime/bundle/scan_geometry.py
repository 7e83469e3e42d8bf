"""What a sensor's files leave unsaid: how their numbers become x, y and z of every pixel.

Lengths are in the file's own unit, the one that `Preprocessing.metres_per_unit` turns into meters, unless their name
ends in `_m`. The defaults change nothing: a file then has to hold an organized cloud.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from .bounds import require_finite, require_positive

ProjectionModel = Literal["orthographic", "pinhole"]
Viewpoint = Literal["-z", "+z"]

_AXES = ("x", "y", "z")
_LARGEST_GRID = 64 * 2**20
_MOST_MARKS = 32


class Intrinsics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pinhole camera without distortion, for depth images and for clouds that are projected to its pixels.

    A pixel in column u and row v, counted from 0, looks along ((u - cx) / fx, (v - cy) / fy, 1): x to the right, y
    down, z forward.

    Attributes:
        fx, fy: focal lengths, pixels.
        cx, cy: the principal point, pixels.
    """

    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        """Refuse values that no camera can have; see `bounds`."""
        require_positive(self, "fx", "fy")
        require_finite(self, "cx", "cy")

    @classmethod
    def of_matrix(cls, rows: list[list[float]]) -> Intrinsics:
        """The intrinsics in the 3 x 3 matrix of a camera's calibration.

        Raises:
            ValueError: the matrix has skew, another last row, or values that no camera can have.
        """
        (fx, skew, cx), (other_skew, fy, cy), last = rows
        if skew or other_skew or last != [0, 0, 1]:
            raise ValueError("is not a pinhole camera's matrix ((fx, 0, cx), (0, fy, cy), (0, 0, 1))")
        return cls(fx=fx, fy=fy, cx=cx, cy=cy)


class HeightGrid(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A height map: one height per pixel, on a grid of fixed pitch, seen from above.

    The pixel in column u and row v of H rows lies at x = (u + 0.5) x_pitch and y = (H - v - 0.5) y_pitch: x to the
    right, y up the image, z toward the viewer. z = z_scale * number + z_offset.

    Attributes:
        x_pitch, y_pitch: from one column, and from one row, to the next, in the file's unit.
        z_scale: the length, in the file's unit, of one step of the stored number; negative if larger numbers are
            deeper.
        z_offset: the height that the number 0 stands for, in the file's unit.
    """

    x_pitch: float
    y_pitch: float
    z_scale: float = 1.0
    z_offset: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values that make no sense for any sensor; see `bounds`."""
        require_positive(self, "x_pitch", "y_pitch")
        require_finite(self, "z_scale", "z_offset")
        if self.z_scale == 0:
            raise ValueError("z_scale is 0: all heights would be the same")


class Projection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The image that points without any order are projected to: of all that meet a pixel, the nearest one is kept.

    Attributes:
        model: "orthographic": pixels of one size on the x-y plane, whose middle is at `center`. "pinhole": the camera
            of `ScanGeometry.intrinsics`, in whose frame the points are.
        width, height: pixels.
        pitch: a pixel's side, in the file's unit; orthographic only.
        center: x and y of the image's middle, in the file's unit; orthographic only. None: the middle between the
            least and the greatest x and y of each scan.
        viewed_from: the side that the sensor is on; orthographic only. "-z": z is a distance, the smallest is
            nearest, and rows run toward greater y. "+z": z is a height, the greatest is nearest, and rows run toward
            smaller y.
    """

    model: ProjectionModel
    width: int
    height: int
    pitch: float | None = None
    center: tuple[float, float] | None = None
    viewed_from: Viewpoint = "-z"

    def __post_init__(self) -> None:
        """Refuse an image that makes no sense. Raises ValueError."""
        _check_grid("width x height", (self.width, self.height))
        if self.model == "orthographic" and self.pitch is None:
            raise ValueError("an orthographic projection needs pitch, a pixel's side in the file's unit")
        if self.model == "pinhole" and (self.pitch, self.center, self.viewed_from) != (None, None, "-z"):
            raise ValueError("a pinhole projection takes no pitch, center or viewed_from: intrinsics say all of that")
        if self.pitch is not None:
            require_positive(self, "pitch")
        if self.center is not None and not all(map(math.isfinite, self.center)):
            raise ValueError(f"center is {self.center}: must be finite numbers")


class ScanGeometry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a file's numbers become an organized cloud; it travels as `Preprocessing.geometry`.

    Attributes:
        intrinsics: if given, an image of one number per pixel is a depth image.
        height_grid: if given, such an image is a height map.
        depth_scale: for depth images: the length, in the file's unit, of one step of the stored number. None: 1, and
            integers need `metres_per_unit`.
        axes: which stored axis becomes x, y and z, each with a sign: "x,-y,-z" turns OpenGL's into a camera's.
        missing: numbers that mark a pixel where nothing was measured: in an image, the number as stored; in points,
            any coordinate as stored. NaN, infinity and (0, 0, 0) always do, and 0 in depth images.
        near_m, far_m: points whose z, in meters and by `axes`, is less or more count as not measured.
        grid: (width, height) of points that are stored row by row without saying so.
        projection: the image that points without any order are projected to.
        topic: the topic of a recording that holds the clouds; None: the only one that does.
        message: which cloud of the topic, from 0; None: the only one.
    """

    intrinsics: Intrinsics | None = None
    height_grid: HeightGrid | None = None
    depth_scale: float | None = None
    axes: str = "x,y,z"
    missing: tuple[float, ...] = ()
    near_m: float | None = None
    far_m: float | None = None
    grid: tuple[int, int] | None = None
    projection: Projection | None = None
    topic: str | None = None
    message: int | None = None

    def __post_init__(self) -> None:
        """Refuse what contradicts itself; while decoding, msgspec reports this with its place.

        Raises:
            ValueError: names the parameter.
        """
        self.axis_order()
        if self.depth_scale is not None:
            require_positive(self, "depth_scale")
        if len(self.missing) > _MOST_MARKS or not all(map(math.isfinite, self.missing)):
            raise ValueError(
                f"missing is {self.missing}: give at most {_MOST_MARKS} numbers; NaN and infinity always count"
            )
        self._check_range()
        if self.grid is not None:
            _check_grid("grid", self.grid)
        if self.message is not None and self.message < 0:
            raise ValueError(f"message is {self.message}: must be 0 or more")
        self._check_models()

    @property
    def places_pixels(self) -> bool:
        """Whether it says where the pixels of an image of one number each lie."""
        return self.intrinsics is not None or self.height_grid is not None

    @property
    def places_points(self) -> bool:
        """Whether it says which pixel each of many points belongs to."""
        return self.grid is not None or self.projection is not None

    @property
    def scales_pixels(self) -> bool:
        """Whether it gives the step of an image's numbers, so that integers have a length."""
        has_z_scale = self.height_grid is not None and self.height_grid.z_scale != 1
        return self.depth_scale is not None or has_z_scale

    def axis_order(self) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """Of x, y and z: the stored axis that each is, from 0, and its sign.

        Raises:
            ValueError: `axes` does not name each of x, y and z once.

        Example:
            >>> ScanGeometry(axes="x,-z,y").axis_order()
            ((0, 2, 1), (1, -1, 1))
        """
        words = [word.strip() for word in self.axes.split(",")]
        names = [word.lstrip("+-") for word in words]
        if sorted(names) != list(_AXES) or any(len(word) > 2 for word in words):
            raise ValueError(f"axes is {self.axes!r}: must name each of x, y and z once, as x,-y,z does")
        first, second, third = (_AXES.index(name) for name in names)
        signs = [-1 if word.startswith("-") else 1 for word in words]
        return (first, second, third), (signs[0], signs[1], signs[2])

    def _check_range(self) -> None:
        for name in ("near_m", "far_m"):
            if getattr(self, name) is not None:
                require_finite(self, name)
        if self.near_m is not None and self.far_m is not None and not self.near_m < self.far_m:
            raise ValueError(f"near_m is {self.near_m}, far_m {self.far_m}: near_m must be less")

    def _check_models(self) -> None:
        if self.height_grid is not None and self.intrinsics is not None:
            raise ValueError("intrinsics and height_grid are both given: an image is either depths or heights")
        if self.height_grid is not None and self.depth_scale is not None:
            raise ValueError("depth_scale is given with height_grid: a height map has height_grid.z_scale")
        if self.grid is not None and self.projection is not None:
            raise ValueError("grid and projection are both given: points have an order or they have none")
        if self._projects_to_camera() and self.intrinsics is None:
            raise ValueError("a pinhole projection needs intrinsics")

    def _projects_to_camera(self) -> bool:
        return self.projection is not None and self.projection.model == "pinhole"


AS_STORED = ScanGeometry()
"""Files that hold organized clouds, which nothing has to be said about."""


def _check_grid(name: str, size: tuple[int, int]) -> None:
    width, height = size
    if width < 2 or height < 2 or width * height > _LARGEST_GRID:
        raise ValueError(f"{name} is {width} x {height}: must be 2 x 2 to {_LARGEST_GRID} pixels")
