"""What a point token should know: the shape of the true surface on rings around it, whatever the sensor saw of it.

Heights on a ring relative to its centre, compressed, then the magnitudes of their first Fourier coefficients:
turning the part about the viewing axis changes nothing. Rings are read from the noise-free surface without
occlusion, so regression on them teaches a token to see through noise and missing points.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..synth.camera import GRID_EXTENT_M

Float32 = npt.NDArray[np.float32]

# In pixel pitches of the 224x224 map; the inner four are what a group sees by itself.
RING_RADII = (1.5, 3.0, 5.0, 8.0, 11.0, 16.0, 22.0)
N_INNER = 4
N_ANGLES = 24
N_HARMONICS = 5
# Heights grow linearly up to about this many pitches, logarithmically beyond: a dent counts beside an edge.
KNEE = 0.25


def ring_targets(height_m: Float32, places_n2: Float32, pitch_m: float) -> Float32:
    """Ring descriptors of places on a surface.

    Args:
        height_m: (N, N) float32, metres over the plane, on the grid of `training.synth.camera`.
        places_n2: (n, 2) float32, metres on the plane.
        pitch_m: the scan's pixel pitch, metres.

    Returns:
        (n, rings * harmonics) float32, inner rings first.
    """
    angle = np.arange(N_ANGLES) * 2 * np.pi / N_ANGLES
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    offsets = np.asarray(RING_RADII)[:, None, None] * pitch_m * circle
    around = _heights_at(height_m, places_n2[:, None, None] + offsets)
    relative = (around - _heights_at(height_m, places_n2)[:, None, None]) / pitch_m
    compressed = np.sign(relative) * np.log1p(np.abs(relative) / KNEE)
    spectrum = np.fft.rfft(compressed, axis=-1)[..., :N_HARMONICS] / N_ANGLES
    magnitudes = np.abs(spectrum)
    magnitudes[..., 0] = spectrum[..., 0].real
    return magnitudes.reshape(len(places_n2), -1).astype(np.float32)


def _heights_at(height_m: Float32, places: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    size = height_m.shape[0]
    cells = places * size / GRID_EXTENT_M + size / 2 - 0.5
    rows_columns = [cells[..., 1].ravel(), cells[..., 0].ravel()]
    heights = ndimage.map_coordinates(height_m, rows_columns, output=np.float64, order=1, mode="nearest")
    return np.asarray(heights).reshape(places.shape[:-1])
