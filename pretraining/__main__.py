"""`python -m cmdiad.pretraining`: trains the embedded point extractor anew; `--help` lists the sizes."""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

from ..training.extractors.loading import POINT_WEIGHTS, load_embedded_point_extractor, save_half
from ..training.extractors.point_transformer import POINT_EMBEDDED, PointTransformer
from .contrast import first_blocks, lessons, train_last_blocks
from .points import train_describer
from .scans import training_scans


def main() -> None:
    """Train the extractor and write its weights."""
    parser = argparse.ArgumentParser(prog="python -m cmdiad.pretraining", description=__doc__)
    parser.add_argument("--scans", type=int, default=500, help="random parts for the first objective")
    parser.add_argument("--steps", type=int, default=1000, help="of the first blocks; 0: those shipped")
    parser.add_argument("--episodes", type=int, default=800, help="for the second objective")
    parser.add_argument("--contrast-steps", type=int, default=2000, help="of the last blocks")
    parser.add_argument("--weights", type=Path, default=POINT_WEIGHTS, help="where they go")
    parser.add_argument("--workers", type=int, default=2, help="processes that make episodes")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    options = parser.parse_args()
    describer = trained_describer(options)
    drawn = list(islice(lessons(describer, options.seed, options.workers), options.episodes))
    save_half(train_last_blocks(describer, drawn, options.contrast_steps, options.seed), options.weights)


def trained_describer(options: argparse.Namespace) -> PointTransformer:
    """The first blocks after the first objective: trained anew, or what is shipped."""
    if not options.steps:
        return first_blocks(load_embedded_point_extractor())
    scans = list(training_scans(options.scans, POINT_EMBEDDED.grouping, options.seed))
    return train_describer(scans, options.steps, options.seed)


if __name__ == "__main__":
    main()
