"""`python -m cmdiad.pretraining`: trains the embedded pair anew; `--help` lists the sizes."""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

from ..training.extractors.loading import (
    IMAGE_WEIGHTS,
    POINT_WEIGHTS,
    load_embedded_image_extractor,
    load_embedded_point_extractor,
    save_half,
)
from ..training.extractors.point_transformer import POINT_EMBEDDED, PointTransformer
from ..training.extractors.vit import ImageTransformer
from .contrast import first_blocks, lessons, train_last_blocks
from .image_contrast import train_image_contrast
from .images import train_image_extractor
from .points import train_describer
from .scans import training_scans


def main() -> None:
    """Train one extractor or both and write the weights."""
    parser = argparse.ArgumentParser(prog="python -m cmdiad.pretraining", description=__doc__)
    parser.add_argument("--scans", type=int, default=500, help="random parts for the first objective")
    parser.add_argument("--point-steps", type=int, default=1000, help="of the first blocks; 0: those shipped")
    parser.add_argument("--image-steps", type=int, default=700, help="of the first objective; 0: from what is shipped")
    parser.add_argument("--episodes", type=int, default=800, help="for the second objective")
    parser.add_argument("--point-contrast-steps", type=int, default=2000, help="0 leaves the point extractor out")
    parser.add_argument("--image-contrast-steps", type=int, default=1200, help="0 leaves the image extractor out")
    parser.add_argument("--point-weights", type=Path, default=POINT_WEIGHTS, help="where they go")
    parser.add_argument("--image-weights", type=Path, default=IMAGE_WEIGHTS, help="where they go")
    parser.add_argument("--workers", type=int, default=2, help="processes that make episodes")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    options = parser.parse_args()
    points, images = describers(options)
    drawn = list(islice(lessons(points, options.seed, options.workers), options.episodes))
    if options.point_contrast_steps:
        trained = train_last_blocks(points, drawn, options.point_contrast_steps, options.seed)
        save_half(trained, options.point_weights)
    if options.image_contrast_steps:
        contrasted = train_image_contrast(images, drawn, options.image_contrast_steps, options.seed)
        save_half(contrasted, options.image_weights)


def describers(options: argparse.Namespace) -> tuple[PointTransformer, ImageTransformer]:
    """Both extractors after the first objective: trained anew, or what is shipped."""
    points, images = first_blocks(load_embedded_point_extractor()), load_embedded_image_extractor()
    if options.point_steps or options.image_steps:
        scans = list(training_scans(options.scans, POINT_EMBEDDED.grouping, options.seed))
        if options.point_steps:
            points = train_describer(scans, options.point_steps, options.seed)
        if options.image_steps:
            images = train_image_extractor([scan.image for scan in scans], options.image_steps, options.seed)
    return points, images


if __name__ == "__main__":
    main()
