"""An inspection without networks, for what comes after them."""

from __future__ import annotations

import numpy as np
from cmdiad.runtime.inspection import Inspection
from cmdiad.runtime.preparation.part_view import PartView

_VIEW = PartView(
    part_pixels=4,
    diameter_px=2.0,
    diameter_m=0.01,
    area_m2=1e-4,
    center_m=(0.0, 0.0, 0.4),
    row=1,
    column=1,
    on_plane=True,
    clearance_m=0.0,
    inspected_share=1.0,
    measured_share=1.0,
    touches_border=0.0,
    other_objects=(),
    plane_rms_m=1e-5,
    empty_margin=0,
)


def inspection_of(word: str) -> Inspection:
    """Score 2 of threshold 1 for `defect`, 0.5 for every other word."""
    score = 2.0 if word == "defect" else 0.5
    return Inspection(
        product="thing",
        score=score,
        threshold=1.0,
        is_defect=score > 1,
        map=np.full((4, 4), score, np.float32),
        pixel_threshold=1.0,
        points=np.ones((4, 4, 3), np.float32),
        rgb=None,
        valid=np.ones((4, 4), bool),
        view=_VIEW,
        seconds={"extract": 0.01},
    )
