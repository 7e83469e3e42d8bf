"""How much of the synthetic defects a scan shows at all: a network taught by labels, on the very classes and defects.

    python benchmarks/studies/supervised.py [--parts 6000] [--steps 5000] [--seeds 3] [--difficulty field|hard]

No inspection has what this detector has: thousands of labeled parts of the classes, each kind of defect among them,
and the scan at its full resolution. Nothing of it is shipped. It judges the data, not a route: what it cannot find in a
scan, a memory bank of normal parts is not expected to find. It is an estimate, not a bound.

A convolutional network tells small windows on damage from windows on normal parts, the hardest of which are searched
again and again; a part's score is its largest window's, in the mean over four turns of the scan. The test parts are
those of `detection.py`; what it learns from has other seeds. It takes 25 minutes on two cores.

Prints one JSON object a seed with I-AUROC by class and by defect, their mean, then the machine.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from cmdiad.benchmarks.shared.measuring import machine
from cmdiad.calibration.evaluation.outcomes import measure_defects
from cmdiad.runtime.sensor.dataset import GOOD, find_classes, find_samples
from cmdiad.runtime.sensor.scan import read_scan
from cmdiad.runtime.threads import usable_processors
from cmdiad.runtime.verdict.auroc import auroc
from cmdiad.training.choices import Difficulty
from cmdiad.training.synth.defects import largest_piece
from cmdiad.training.synth.synthesis import DEFECTS, PART_CLASSES, SEVERITIES, render_sample, write_dataset
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

# A part fits into this many pixels; the plane alone is seen along the border.
CROP, BORDER = 256, 40
# Heights below this are plane, millimeters.
LEAST_HEIGHT_MM = 0.6
# What a window sees, pixels, and how far apart windows are.
WINDOW, STRIDE = 48, 8
# Of the parts that are learned from.
GOOD_SHARE = 0.4
ON_DAMAGE, ANYWHERE, HARD = 48, 32, 48
JITTER, LEAST_PIXELS = 8, 20
LEARNING_RATE, WARM_UP, WEIGHT_DECAY = 2e-3, 50, 1e-3
# Every so many steps, some normal parts' worst windows join the hard ones.
MINE_EVERY, MINED_PARTS, MINED_WINDOWS, MOST_HARD = 100, 60, 4, 1500

Maps = npt.NDArray[np.float16]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LabeledParts:
    """What the network learns from: `maps` (N, 4, 256, 256) and `damage` (N, 256, 256), none of it on normal parts."""

    maps: Maps
    damage: Mask


def main() -> None:
    """Teach the network, judge it on every seed's test parts, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("parts", 6000), ("steps", 5000), ("seeds", 3), ("test-good", 20), ("per-defect", 8)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--difficulty", choices=list(SEVERITIES), default="field")
    options = parser.parse_args()
    with ProcessPoolExecutor(usable_processors()) as pool:
        made = list(pool.map(partial(labeled_part, options.difficulty), range(options.parts), chunksize=8))
    parts = LabeledParts(np.stack([maps for maps, _ in made]), np.stack([damage for _, damage in made]))
    del made
    network = taught(parts, options.steps)
    figures = []
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as scratch:
            data = Path(scratch) / "data"
            counts = {"train": 1, "validation": 0, "test_good": options.test_good, "per_defect": options.per_defect}
            write_dataset(data, **counts, seed=seed, difficulty=options.difficulty, workers=usable_processors())
            figures.append(judged(network, data))
        print(json.dumps({"measure": "supervised", "seed": seed, **figures[-1]}), flush=True)
    means = {name: round(float(np.mean([of_seed[name] for of_seed in figures])), 3) for name in figures[0]}
    print(json.dumps({"measure": "supervised", "seed": "mean", **means}))
    print(json.dumps(machine()))


def labeled_part(difficulty: Difficulty, number: int) -> tuple[Maps, Mask]:
    """A normal or damaged part of a class in turn: its maps and its damage."""
    rng = np.random.default_rng([number, 0])
    defect = None if rng.random() < GOOD_SHARE else str(rng.choice(DEFECTS))
    # Two words more than a dataset's seeds have: no part is a test part.
    seed = np.random.SeedSequence([991, 992, 993, 994, 995, 996, number])
    sample = render_sample(PART_CLASSES[number % len(PART_CLASSES)], defect, seed, difficulty=difficulty)
    maps, window = height_maps(sample.points)
    return maps, sample.mask[window]


def height_maps(points_hw3: npt.NDArray[np.float32]) -> tuple[Maps, tuple[slice, slice]]:
    """(4, 256, 256) of a scan: height, height over its wide and its narrow surroundings, and where there is part.

    Heights are millimeters over the plane, each in a unit of about its own size. Also the window that was cut out.
    """
    z, measured = points_hw3[..., 2].astype(np.float64), points_hw3[..., 2] > 0
    border = measured.copy()
    border[BORDER:-BORDER, BORDER:-BORDER] = False
    system = np.column_stack([points_hw3[border][:, :2].astype(np.float64), np.ones(border.sum())])
    slope_x, slope_y, offset = np.linalg.solve(system.T @ system, system.T @ z[border])
    plane = slope_x * points_hw3[..., 0] + slope_y * points_hw3[..., 1] + offset
    height = np.where(measured, (plane - z) * 1e3, 0)
    part = measured & (height > LEAST_HEIGHT_MM)
    largest = largest_piece(ndimage.binary_opening(part, np.ones((3, 3))))
    rows, columns = (_around(np.flatnonzero(largest.any(axis=axis)), len(z)) for axis in (1, 0))
    window = rows, columns
    height, part = (height * part)[window], part[window]
    wide, narrow = (_above_surroundings(height, part, pixels) for pixels in (6, 2))
    maps = [height / 6, np.clip(wide / 0.8, -4, 4), np.clip(narrow / 0.2, -4, 4), part]
    return np.stack(maps).astype(np.float16), window


def _above_surroundings(height: npt.NDArray[np.float64], part: Mask, pixels: float) -> npt.NDArray[np.float64]:
    """Height over the mean of the part around, weighted by a Gaussian of so many pixels; zero off the part."""
    share = ndimage.gaussian_filter(part.astype(np.float64), pixels)
    return np.asarray(np.where(part, height - ndimage.gaussian_filter(height, pixels) / np.maximum(share, 1e-3), 0))


def _around(taken: npt.NDArray[np.intp], size: int) -> slice:
    first = int(np.clip((taken[0] + taken[-1]) // 2 - CROP // 2, 0, size - CROP))
    return slice(first, first + CROP)


def window_network() -> nn.Sequential:
    """(B, 4, H, W) -> (B, 1, h, w): the logit of damage in every window of WINDOW pixels, STRIDE apart."""

    def layer(taken: int, given: int, side: int = 3, padding: int = 1) -> nn.Sequential:
        convolution = nn.Conv2d(taken, given, side, padding=padding, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(given), nn.ReLU())

    return nn.Sequential(
        *(layer(4, 24, 5, 2), nn.MaxPool2d(2)),
        *(layer(24, 48), layer(48, 48), nn.MaxPool2d(2)),
        *(layer(48, 80), layer(80, 80), nn.MaxPool2d(2)),
        *(layer(80, 128, WINDOW // STRIDE, 0), nn.Conv2d(128, 64, 1), nn.ReLU(), nn.Conv2d(64, 1, 1)),
    ).to(memory_format=torch.channels_last)


def taught(parts: LabeledParts, steps: int) -> nn.Sequential:
    """The network, trained on windows: some on damage, some anywhere on normal parts, some where it was most wrong."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    pixels = parts.damage.reshape(len(parts.damage), -1).sum(axis=1)
    normal, damaged = np.flatnonzero(pixels == 0), np.flatnonzero(pixels > LEAST_PIXELS)
    network = window_network()
    hard: list[tuple[int, int, int]] = []
    losses: list[float] = []
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / WARM_UP) * (0.02 + 0.98 * (1 - step / steps))
    )
    for step in range(1, steps + 1):
        places = [(n, *_any_of(parts.damage[n], rng)) for n in rng.choice(damaged, ON_DAMAGE)]
        places += [(n, *_any_of(parts.maps[n, 3] > 0, rng)) for n in rng.choice(normal, ANYWHERE)]
        places += [hard[n] for n in rng.integers(len(hard), size=HARD)] if hard else []
        windows = torch.from_numpy(np.stack([_cut(parts.maps, place, rng) for place in places])).float()
        windows = _turned(windows, int(rng.integers(4)), bool(rng.integers(2)))
        labels = torch.tensor([1.0] * ON_DAMAGE + [0.0] * (len(places) - ON_DAMAGE))
        loss = functional.binary_cross_entropy_with_logits(_logits(network, windows).flatten(), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if step % MINE_EVERY == 0:
            chosen = rng.choice(normal, min(MINED_PARTS, len(normal)), replace=False)
            hard = [*hard, *_hardest(network, parts.maps, chosen)][-MOST_HARD:]
        if step % 500 == 0:
            print(f"step {step}/{steps}: loss {np.mean(losses[-500:]):.3f}", flush=True)
    return network.eval()


def _any_of(cells: Mask, rng: np.random.Generator) -> tuple[int, int]:
    row, column = divmod(int(rng.choice(np.flatnonzero(cells))), CROP)
    return row, column


def _cut(maps: Maps, place: tuple[int, int, int], rng: np.random.Generator) -> Maps:
    """The window around a place of a part, a little off."""
    corner = np.array(place[1:]) + rng.integers(-JITTER, JITTER + 1, 2) - WINDOW // 2
    row, column = np.clip(corner, 0, CROP - WINDOW)
    return maps[place[0], :, row : row + WINDOW, column : column + WINDOW]


def _turned(maps: Tensor, quarters: int, mirrored: bool) -> Tensor:
    turned = torch.rot90(maps, quarters, (2, 3))
    return turned.flip(3) if mirrored else turned


def _logits(network: nn.Sequential, maps: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        logits: Tensor = network(maps.contiguous(memory_format=torch.channels_last))
    return logits[:, 0].float()


@torch.no_grad()
def _window_scores(network: nn.Sequential, maps: Tensor) -> Tensor:
    """(B, 27, 27) logits of windows whose middle has some of the part; of the others, as low as can be."""
    inner = WINDOW // STRIDE // 2 - 1
    on_part = functional.max_pool2d(maps[:, 3:], STRIDE)[:, 0, inner : -inner - 1, inner : -inner - 1] > 0
    return torch.where(on_part, _logits(network, maps), torch.tensor(-torch.inf))


def _hardest(network: nn.Sequential, maps: Maps, chosen: npt.NDArray[np.intp]) -> list[tuple[int, int, int]]:
    """Part, row and column of the windows that look most like damage on normal parts."""
    network.eval()
    scores = torch.cat([_window_scores(network, torch.from_numpy(maps[[n]]).float()) for n in chosen])
    network.train()
    worst = scores.flatten(1).topk(MINED_WINDOWS).indices.numpy()
    rows, columns = (places * STRIDE + WINDOW // 2 for places in np.divmod(worst, scores.shape[-1]))
    return [
        (int(n), int(r), int(c))
        for n, rs, cs in zip(chosen, rows, columns, strict=True)
        for r, c in zip(rs, cs, strict=True)
    ]


def judged(network: nn.Sequential, data: Path) -> dict[str, float]:
    """I-AUROC of the classes' test parts, their mean, and of each defect against the good parts."""
    figures: dict[str, float] = {}
    for folder in find_classes(data, []):
        samples = find_samples(folder, "test")
        kinds = np.array([sample.defect for sample in samples])
        scores = np.array([part_score(network, height_maps(read_scan(sample.scan).points)[0]) for sample in samples])
        figures[folder.name] = float(auroc(scores, kinds != GOOD))
        by_defect = measure_defects(scores, kinds)
        figures |= {f"{folder.name} {defect}": float(value) for defect, value in by_defect.items()}
    figures = {"all": float(np.mean([figures[name] for name in PART_CLASSES])), **figures}
    return {name: round(value, 3) for name, value in figures.items()}


def part_score(network: nn.Sequential, maps: Maps) -> float:
    """The largest window's logit, in the mean over four turns of the scan."""
    scan = torch.from_numpy(maps[None]).float()
    return float(np.mean([float(_window_scores(network, _turned(scan, n, False)).max()) for n in range(4)]))


if __name__ == "__main__":
    main()
