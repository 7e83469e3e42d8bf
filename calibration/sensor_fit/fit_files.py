"""The files of a fit: the proposed sensor file, a picture and a page beside it."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from ...runtime.files.atomic import atomic_write, atomic_write_bytes
from ...runtime.sensor.sensor_writing import sensor_toml
from .fit_page import fit_page
from .fit_pictures import FitGallery
from .proposed_sensor import SensorFit


def fit_files(out: Path) -> list[Path]:
    """The files that are written: the sensor file, the picture and the page.

    Example:
        >>> [file.name for file in fit_files(Path("cell.toml"))]
        ['cell.toml', 'cell_fit.png', 'cell_fit.html']
    """
    return [out, out.with_name(f"{out.stem}_fit.png"), out.with_name(f"{out.stem}_fit.html")]


def write_fit(fit: SensorFit, gallery: FitGallery, out: Path) -> list[Path]:
    """Write them; the sensor file comes last.

    Raises:
        OutputError: one cannot be written.
    """
    file, picture, page = fit_files(out)
    with atomic_write(picture) as stream:
        Image.fromarray(gallery.sheet()).save(stream, "PNG")
    atomic_write_bytes(page, fit_page(fit, gallery.drawn).encode())
    atomic_write_bytes(file, sensor_toml(fit.description, fit.notes).encode())
    return [file, picture, page]
