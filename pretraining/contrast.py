"""The second half of the point training: the last blocks learn what stands out among normal parts of one kind.

The first blocks' tokens (`points`) describe a surface; how far two normal parts of a kind are apart in them depends on
the kind. Four more blocks are trained on episodes: as a memory bank does it, every token of a normal and of two damaged
parts is compared with the nearest token of the other normal parts, and the damaged ones are to be farther than any
normal one, by the logarithms of their distances. The distance is that of both tokens together, as in a bank.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count as numbers

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..training.extractors.point_transformer import (
    POINT_EMBEDDED,
    Block,
    PointTransformer,
    PointTransformerConfig,
    turn_invariant_coordinates,
)
from .episodes import DAMAGED, DAMAGED_PARTS, NORMAL, NORMAL_PARTS, Episode, episode, in_any_order
from .points import DESCRIBER
from .regression import optimize

Float32 = npt.NDArray[np.float32]

EPISODES_PER_STEP, GROUPS_PER_SCAN, MAX_DAMAGED_GROUPS = 3, 320, 80
LEARNING_RATE, FIRST_STD = 1e-3, 0.002
# Of the logarithms of distances: how sharp their soft maximum is, and how steep the loss.
SHARPNESS, STEEPNESS = 10.0, 5.0
# The farthest normal tokens that every damaged one is compared with: of the normal part, and beside the damage.
FARTHEST_NORMAL, FARTHEST_BESIDE = 16, 8
# Episodes that are asked for at a time.
BATCH = 32
EVERY_TOKEN_SHARE, LEAST_SQUARED = 0.5, 1e-3


@dataclass(frozen=True)
class Lesson:
    """An episode as the last blocks see it.

    Attributes:
        states: (P, G, dim) float16, what the first blocks give.
        centers: (P, G, 3) float32, without unit, as the position embedding takes them.
        labels: (P, G) uint8.
    """

    states: npt.NDArray[np.float16]
    centers: Float32
    labels: npt.NDArray[np.uint8]


def lessons(model: PointTransformer, seed: int, workers: int) -> Iterator[Lesson]:
    """Endlessly many, in an order that the seed fixes; parts are made in worker processes, which run the model too."""
    with ProcessPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for first in numbers(0, BATCH):
            made = pool.map(partial(_lesson, model, seed), range(first, first + BATCH))
            yield from (drawn for drawn in made if drawn is not None)


def first_blocks(extractor: PointTransformer) -> PointTransformer:
    """The describer inside an embedded extractor."""
    describer = PointTransformer(DESCRIBER).eval()
    inside = describer.state_dict()
    describer.load_state_dict({name: weight for name, weight in extractor.state_dict().items() if name in inside})
    return describer


def with_more_blocks(model: PointTransformer, config: PointTransformerConfig = POINT_EMBEDDED) -> PointTransformer:
    """The model with the config's further blocks, which do next to nothing yet; all but these are frozen."""
    deeper = PointTransformer(config).eval()
    deeper.load_state_dict(model.state_dict(), strict=False)
    deeper.requires_grad_(False)
    for block in _last_blocks(deeper):
        for layer in (block.attn.proj, block.mlp.fc2):
            nn.init.normal_(layer.weight, std=FIRST_STD)
            nn.init.zeros_(layer.bias)
        block.requires_grad_(True)
    return deeper


def train_last_blocks(model: PointTransformer, drawn: Sequence[Lesson], steps: int, seed: int) -> PointTransformer:
    """The model `with_more_blocks`, trained. The seed fixes weights and batches."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    deeper = with_more_blocks(model)

    def loss_of_step() -> Tensor:
        chosen = rng.choice(len(drawn), EPISODES_PER_STEP, replace=False)
        states, centers, labels = zip(*(_sample(drawn[number], rng) for number in chosen), strict=True)
        tokens = _tokens(deeper, *(torch.from_numpy(np.concatenate(of_parts)) for of_parts in (states, centers)))
        by_episode = tokens.view(len(chosen), -1, *tokens.shape[1:])
        losses = list(map(episode_loss, by_episode, map(torch.from_numpy, labels)))
        return torch.stack(losses).mean()

    optimize(deeper, loss_of_step, steps, LEARNING_RATE)
    return deeper.requires_grad_(True)


def episode_loss(tokens: Tensor, labels: Tensor) -> Tensor:
    """How far the damaged tokens fail to be farther from the normal parts than the tokens of another normal part.

    Args:
        tokens: (P, n, D) float32: normal parts, of which the last is compared with the others, then damaged ones.
        labels: (P, n) uint8; `EITHER` takes no part.
    """
    untouched = labels == NORMAL
    bank = tokens[: NORMAL_PARTS - 1][untouched[: NORMAL_PARTS - 1]]
    queries = tokens[NORMAL_PARTS - 1 :]
    squared = _squared_distances(queries.flatten(0, 1), bank).amin(dim=1).clamp_min(LEAST_SQUARED)
    of_part, *of_damaged = (squared.log() / 2).view(queries.shape[:2])
    normal = of_part[untouched[NORMAL_PARTS - 1]]
    worst_normal, farthest = _soft_maximum(normal), _largest(normal, FARTHEST_NORMAL)
    losses = [tokens.new_zeros(())]
    for distances, kinds in zip(of_damaged, labels[NORMAL_PARTS:], strict=True):
        on_damage, beside = distances[kinds == DAMAGED], distances[kinds == NORMAL]
        if len(on_damage):
            as_part = functional.softplus(STEEPNESS * (worst_normal - _soft_maximum(on_damage)))
            compared = torch.cat([farthest, _largest(beside, FARTHEST_BESIDE)])
            as_tokens = functional.softplus(STEEPNESS * (compared - on_damage[:, None])).mean()
            losses.append(as_part + EVERY_TOKEN_SHARE * as_tokens)
    return torch.stack(losses).sum() / DAMAGED_PARTS


def _lesson(model: PointTransformer, seed: int, number: int) -> Lesson | None:
    drawn = episode(seed, number, model.config.grouping)
    return None if drawn is None else lesson(model, drawn)


@torch.inference_mode()
def lesson(model: PointTransformer, drawn: Episode) -> Lesson:
    """What the first blocks give for an episode's scans."""
    states, places = [], []
    for groups, centers in zip(drawn.groups, drawn.centers, strict=True):
        kept = torch.from_numpy(groups)[None, :, model.kept_ranks]
        shape, place = turn_invariant_coordinates(kept, torch.from_numpy(centers)[None])
        states.append(model.blocks(model.encoder(shape), model.pos_embed(place))[-1][0].half().numpy())
        places.append(place[0].numpy())
    return Lesson(np.stack(states), np.stack(places), drawn.group_labels)


def _sample(drawn: Lesson, rng: np.random.Generator) -> tuple[Float32, Float32, npt.NDArray[np.uint8]]:
    """States, centers and labels of some groups of every scan: of a damaged one its damaged groups first."""
    n_groups = drawn.labels.shape[1]
    parts = in_any_order(rng)
    kept = []
    for part in parts:
        damaged = rng.permutation(np.flatnonzero(drawn.labels[part] == DAMAGED))[:MAX_DAMAGED_GROUPS]
        others = rng.permutation(np.setdiff1d(np.arange(n_groups), damaged))
        kept.append(np.concatenate([damaged, others])[:GROUPS_PER_SCAN])
    rows, columns = np.array(parts)[:, None], np.stack(kept)
    return drawn.states[rows, columns].astype(np.float32), drawn.centers[rows, columns], drawn.labels[rows, columns]


def _tokens(model: PointTransformer, states: Tensor, centers: Tensor) -> Tensor:
    """The model's output from the first blocks' on."""
    position, x = model.pos_embed(centers), states
    for block in _last_blocks(model):
        x = block(x + position)
    return torch.cat([model.norm(states), model.norm(x)], dim=-1)


def _last_blocks(model: PointTransformer) -> list[Block]:
    last = list(model.blocks.blocks)[model.config.token_blocks[0] + 1 :]
    return [block for block in last if isinstance(block, Block)]


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    return a.square().sum(dim=1)[:, None] + b.square().sum(dim=1) - 2 * a @ b.T


def _largest(values: Tensor, count: int) -> Tensor:
    return values.topk(min(count, len(values))).values


def _soft_maximum(values: Tensor) -> Tensor:
    return torch.logsumexp(SHARPNESS * values, dim=0) / SHARPNESS
