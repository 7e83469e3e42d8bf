"""The corpus's scans and images: every format that is read, made of one small scene."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image


def scene(height: int = 24, width: int = 32) -> npt.NDArray[np.float32]:
    """A box on a table, a few points missing: (H, W, 3) float32, meters."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    points = np.stack([columns * 0.001, rows * 0.001, np.full_like(rows, 0.5)], axis=-1)
    inside = (abs(rows - height / 2) < height / 3.5) & (abs(columns - width / 2) < width / 3.5)
    points[inside, 2] -= 0.009
    points[..., 2] += 1e-5 * np.sin(9 * rows + 7 * columns)
    points[2, 3:6] = 0
    return points.astype(np.float32)


def _tiff(pixels: npt.NDArray[Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, photometric="rgb", metadata=None, software=False, **options)
    return stream.getvalue()


def _npz(points: npt.NDArray[Any]) -> bytes:
    array, stream = io.BytesIO(), io.BytesIO()
    np.save(array, points, allow_pickle=False)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("points.npy"), array.getvalue(), zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def npy_of(points: npt.NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, points, allow_pickle=False)
    return stream.getvalue()


def scan_seeds() -> dict[str, bytes]:
    """Every format and storage that is read."""
    points = scene()
    small = scene(17, 18)
    planar = np.ascontiguousarray(np.moveaxis(small, -1, 0))
    millimetres = np.rint(points * 1000).astype(np.int16)
    return {
        "plain.tiff": _tiff(points),
        "zlib.tiff": _tiff(points, compression="zlib", predictor=3, rowsperstrip=5),
        "lzw_tiles.tiff": _tiff(small, compression="lzw", tile=(16, 16)),
        "planar_big.tiff": _tiff(planar, planarconfig="separate", bigtiff=True, byteorder=">"),
        "integers.tiff": _tiff(millimetres, compression="zlib"),
        "plain.npy": npy_of(points),
        "fortran.npy": npy_of(np.asfortranarray(small.astype(np.float64))),
        "packed.npz": _npz(points),
        **_ply_seeds(small),
        **_pcd_seeds(small),
    }


def _ply_seeds(points: npt.NDArray[np.float32]) -> dict[str, bytes]:
    height, width = points.shape[:2]
    flat = points.reshape(-1, 3)
    axes = "property float x\nproperty float y\nproperty float z\n"
    grid = f"obj_info num_cols {width}\nobj_info num_rows {height}\n"
    rows = "".join("{:g} {:g} {:g}\n".format(*point) for point in flat.tolist())
    text = f"ply\nformat ascii 1.0\n{grid}element vertex {len(flat)}\n{axes}end_header\n{rows}"
    camera = "element camera 1\nproperty int viewportx\nproperty int viewporty\n"
    big = f"ply\nformat binary_big_endian 1.0\nelement vertex {len(flat)}\n{axes}{camera}end_header\n".encode()
    ranged = (
        f"ply\nformat binary_little_endian 1.0\n{grid}element vertex {len(flat)}\n{axes}"
        f"element range_grid {len(flat)}\nproperty list uchar int vertex_indices\nend_header\n"
    ).encode()
    indices = b"".join(struct.pack("<Bi", 1, at) if at % 7 else b"\0" for at in range(len(flat)))
    lists = (
        f"ply\nformat binary_little_endian 1.0\n{grid}element marks 2\nproperty list uchar short of\nelement vertex "
        f"{len(flat)}\nproperty list uchar uchar tags\n{axes}end_header\n"
    ).encode()
    tagged = b"".join(bytes([at % 3, 7, 7][: 1 + at % 3]) + row.tobytes() for at, row in enumerate(flat))
    return {
        "text.ply": text.encode(),
        "camera.ply": big + flat.astype(">f4").tobytes() + struct.pack(">2i", width, height),
        "range_grid.ply": ranged + flat.tobytes() + indices,
        "lists.ply": lists + struct.pack("<B2hBh", 2, 1, 2, 1, 3) + tagged,
    }


def _pcd_seeds(points: npt.NDArray[np.float32]) -> dict[str, bytes]:
    import imagecodecs

    height, width = points.shape[:2]
    flat = points.reshape(-1, 3)
    head = (
        "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\n"
        f"WIDTH {width}\nHEIGHT {height}\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(flat)}\nDATA "
    )
    rows = "".join("{:g} {:g} {:g}\n".format(*point) for point in flat.tolist())
    plain = np.ascontiguousarray(flat.T).tobytes()
    packed = bytes(imagecodecs.lzf_encode(plain))
    return {
        "text.pcd": f"{head}ascii\n{rows}".encode(),
        "binary.pcd": f"{head}binary\n".encode() + flat.tobytes(),
        "packed.pcd": f"{head}binary_compressed\n".encode() + struct.pack("<II", len(packed), len(plain)) + packed,
    }


def image_seeds() -> dict[str, bytes]:
    """Every kind of image and mask."""
    drawn = np.random.default_rng(0)
    color = drawn.integers(0, 255, (20, 30, 3)).astype(np.uint8)
    color[4:15] = color[4, 5]
    mask = np.zeros((20, 30), np.uint8)
    mask[5:9, 7:12] = 255
    palette = Image.fromarray(color).quantize(7)
    saved = {
        "color.png": (Image.fromarray(color), {}),
        "mask.png": (Image.fromarray(mask), {}),
        "one_bit.png": (Image.fromarray(mask > 0), {}),
        "gray_16.png": (Image.fromarray(mask.astype(np.uint16) * 257), {}),
        "palette.png": (palette, {"transparency": 1}),
        "alpha.png": (Image.fromarray(np.dstack([color, mask])), {}),
        "plain.jpg": (Image.fromarray(color), {"quality": 60}),
        "progressive.jpg": (Image.fromarray(color), {"quality": 60, "progressive": True}),
        "color.bmp": (Image.fromarray(color), {}),
        "palette.bmp": (palette, {}),
    }
    images = {"color.tiff": _tiff(color, compression="zlib"), "plain.tiff": _tiff(color)}
    for name, (image, options) in saved.items():
        stream = io.BytesIO()
        image.save(stream, {"jpg": "JPEG", "png": "PNG", "bmp": "BMP"}[name[-3:]], **options)
        images[name] = stream.getvalue()
    return images
