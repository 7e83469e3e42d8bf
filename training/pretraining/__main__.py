"""`python -m cmdiad.training.pretraining`: trains the embedded pair anew; `--help` lists the sizes."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..extractors.loading import IMAGE_WEIGHTS, POINT_WEIGHTS, save_half
from ..extractors.point_transformer import POINT_EMBEDDED
from .images import train_image_extractor
from .points import train_point_extractor
from .scans import training_scans


def main() -> None:
    """Train one extractor or both and write the weights."""
    parser = argparse.ArgumentParser(prog="python -m cmdiad.training.pretraining", description=__doc__)
    parser.add_argument("--scans", type=int, default=600, help="random parts")
    parser.add_argument("--point-steps", type=int, default=1000, help="of the point extractor; 0 leaves it out")
    parser.add_argument("--point-weights", type=Path, default=POINT_WEIGHTS, help="where they go")
    parser.add_argument("--image-steps", type=int, default=1000, help="of the image extractor; 0 leaves it out")
    parser.add_argument("--image-weights", type=Path, default=IMAGE_WEIGHTS, help="where they go")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    options = parser.parse_args()
    scans = list(training_scans(options.scans, POINT_EMBEDDED.grouping, options.seed))
    if options.point_steps:
        save_half(train_point_extractor(scans, options.point_steps, options.seed), options.point_weights)
    if options.image_steps:
        images = [scan.image for scan in scans]
        save_half(train_image_extractor(images, options.image_steps, options.seed), options.image_weights)


if __name__ == "__main__":
    main()
