"""The method as the paper and its published code compute it, in plain torch and Open3D: the baseline, and an oracle.

Steps and shapes are those of the published implementation (evenrose/CMDIAD): farthest
point sampling and k nearest neighbors on the whole cloud, Point-MAE with 1 x 1 convolutions, every pixel's feature
interpolated from all sorted distances, averaged and pooled; F2F on all 3136 patches; `cdist` of all patches with both
whole banks; the neighbors of the nearest row searched in the whole bank; bilinear upsampling, blur, and both one-class
SVMs on all pixels. Nothing is left out and nothing is slowed down: torch's own kernels on all threads, or on a GPU
where the pipeline was moved to one (`on_device`); the blur is SciPy's in both cases, as the published one is Pillow's.

Two things are corrected, as in this project: a bank is normalized by its own modality's mean and standard deviation,
and the blur is not rounded to 8 bits. Not a benchmark itself; `inspection.py` and `preprocessing.py` run it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from cmdiad.runtime.bundle.parameters import Preprocessing
from cmdiad.runtime.sensor.missing import valid_mask
from cmdiad.runtime.verdict.fusion import Fusion
from cmdiad.training.extractors.point_transformer import Attention, Block, GroupEncoder, PointTransformer
from cmdiad.training.routes.f2f import FeatureToFeature
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional

SIZE = 224
GRID = 56
INTERPOLATED = 3
REWEIGHTING = 3  # the nearest row and its two neighbors
BLUR_SIGMA = 4.0
PLANE_SAMPLE = 50
CPU = torch.device("cpu")

Points = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PaperBank:
    """A memory bank as published: normalized features as they are, and the two numbers."""

    rows: Tensor
    mean: float
    std: float

    def on_device(self, device: torch.device) -> PaperBank:
        """The same with its rows on a device."""
        return PaperBank(self.rows.to(device), self.mean, self.std)


class PaperPipeline:
    """From a preprocessed scan to score and map."""

    def __init__(
        self,
        extractor: PointTransformer,
        f2f: FeatureToFeature,
        main: PaperBank,
        hallucinated: PaperBank,
        fusion: Fusion,
        precise: bool = False,
    ) -> None:
        """Put the networks, both banks and their fusion together.

        Args:
            extractor: Point-MAE, in eval mode.
            f2f: the hallucination network, in eval mode.
            main: the bank of measured features.
            hallucinated: the bank of hallucinated features.
            fusion: of both banks' scores and maps.
            precise: distances in float64, for the oracle. torch's `cdist` is a matrix product, which loses the digits
                of distances that are short beside the features. Of points and centers that are equally near, which
                scans on a lattice have many of, the oracle takes the first.
        """
        self.distance_type = torch.float64 if precise else torch.float32
        self.extractor, self.f2f = extractor, f2f
        self.main, self.hallucinated, self.fusion = main, hallucinated, fusion

    def on_device(self, device: torch.device) -> PaperPipeline:
        """The same with its networks and banks on a device, where all tensors then are; the networks move there."""
        main, second = self.main.on_device(device), self.hallucinated.on_device(device)
        precise = self.distance_type == torch.float64
        return PaperPipeline(self.extractor.to(device), self.f2f.to(device), main, second, self.fusion, precise)

    @torch.inference_mode()
    def __call__(self, points_hw3: Points) -> tuple[float, Points]:
        """(224, 224, 3) float32 meters, zero where there is no part -> the score and the (224, 224) map."""
        main = self.patch_features(points_hw3)
        hallucinated = self.f2f.hallucinate_rgb(main)
        pairs = (main, self.main), (hallucinated, self.hallucinated)
        matches = [match(features, bank, self.distance_type) for features, bank in pairs]
        score = self.fusion.fuse_scores(*(bank_score for bank_score, _ in matches))
        weights = self.fusion.map.weights
        fused = weights[0] * matches[0][1] + weights[1] * matches[1][1]
        return score, fused.astype(np.float32)

    def patch_features(self, points_hw3: Points) -> Tensor:
        """R_PC: (3136, 2 D)."""
        points, pixels = measured_points(points_hw3, self.main.rows.device)
        grouping = self.extractor.config.grouping
        centers = points[farthest_points(points, grouping.n_groups)]
        places = points.to(self.distance_type)
        members = nearest(centers.to(self.distance_type), places, grouping.group_size)
        features = tokens(self.extractor, points[members] - centers[:, None], centers)
        return pooled(interpolated(places, centers.to(self.distance_type), features), pixels)


def measured_points(points_hw3: Points, device: torch.device = CPU) -> tuple[Tensor, Tensor]:
    """(N, 3) points of the part and (N,) their pixels, on a device."""
    flat = torch.from_numpy(points_hw3.reshape(-1, 3)).to(device)
    pixels = torch.nonzero((flat != 0).any(dim=1))[:, 0]
    return flat[pixels], pixels


def farthest_points(points: Tensor, n: int) -> Tensor:
    """(n,) indices by farthest point sampling from index 0, as pointnet2's kernel does it."""
    chosen = torch.empty(n, dtype=torch.int64, device=points.device)
    distance = torch.full((len(points),), torch.inf, device=points.device)
    index = torch.tensor(0, device=points.device)
    for number in range(n):
        chosen[number] = index
        distance = torch.minimum(distance, ((points - points[index]) ** 2).sum(dim=1))
        index = distance.argmax()
    return chosen


def nearest(centers: Tensor, points: Tensor, count: int) -> Tensor:
    """(G, count) indices of every center's nearest points, by all distances; of equal ones in float64 the first."""
    distances = torch.cdist(centers, points, compute_mode="donot_use_mm_for_euclid_dist")
    if distances.dtype == torch.float64:
        return distances.sort(dim=1, stable=True).indices[:, :count]
    return distances.topk(count, largest=False).indices


def tokens(network: PointTransformer, groups: Tensor, centers: Tensor) -> Tensor:
    """Point-MAE: (G, M, 3) and (G, 3) to (G, 2 D), blocks 3 and 11."""
    x = embeddings(network.encoder, groups)[None]
    position = network.pos_embed(centers)[None]
    outputs = []
    for block in network.blocks.blocks:
        assert isinstance(block, Block)
        x = transformer_block(block, x + position)
        outputs.append(x)
    return torch.cat([network.norm(outputs[index]) for index in network.config.token_blocks], dim=-1)[0]


def embeddings(encoder: GroupEncoder, groups: Tensor) -> Tensor:
    """The mini-PointNet with its convolutions and its concatenation [global, local]: (G, M, 3) -> (G, C)."""
    count = groups.shape[1]
    local = encoder.first_conv(groups.transpose(2, 1))
    summary = local.max(dim=2, keepdim=True).values
    both = torch.cat([summary.expand(-1, -1, count), local], dim=1)
    return encoder.second_conv(both).max(dim=2).values


def transformer_block(block: Block, x: Tensor) -> Tensor:
    """Pre-norm attention and MLP."""
    x = x + attention(block.attn, block.norm1(x))
    return x + block.mlp(block.norm2(x))


def attention(layer: Attention, x: Tensor) -> Tensor:
    """Softmax(Q K^T / sqrt(d)) V, the matrix of weights in full."""
    batch, count, dim = x.shape
    qkv = layer.qkv(x).reshape(batch, count, 3, layer.heads, dim // layer.heads).permute(2, 0, 3, 1, 4)
    query, key, value = qkv.unbind(0)
    weights = (query @ key.transpose(-2, -1) * (dim // layer.heads) ** -0.5).softmax(dim=-1)
    return layer.proj((weights @ value).transpose(1, 2).reshape(batch, count, dim))


def interpolated(points: Tensor, centers: Tensor, features: Tensor) -> Tensor:
    """(N, D): every point's three nearest centers' features, weighted by 1 / (squared distance + 1e-8)."""
    squared = torch.cdist(points, centers, compute_mode="donot_use_mm_for_euclid_dist") ** 2
    ordered, index = squared.sort(dim=-1, stable=squared.dtype == torch.float64)
    weight = 1.0 / (ordered[:, :INTERPOLATED] + 1e-8)
    weight = weight / weight.sum(dim=1, keepdim=True)
    return (features[index[:, :INTERPOLATED]] * weight[:, :, None].to(features.dtype)).sum(dim=1)


def pooled(features: Tensor, pixels: Tensor) -> Tensor:
    """(3136, D): features at the full resolution, averaged 3 x 3 and pooled to 56 x 56."""
    full = torch.zeros(features.shape[1], SIZE * SIZE, device=features.device)
    full[:, pixels] = features.T
    averaged = functional.avg_pool2d(full.view(1, -1, SIZE, SIZE), 3, stride=1)
    return functional.adaptive_avg_pool2d(averaged, (GRID, GRID)).reshape(features.shape[1], -1).T


def match(features: Tensor, bank: PaperBank, distance_type: torch.dtype) -> tuple[float, npt.NDArray[np.float32]]:
    """The re-weighted image score of one bank, and its (224, 224) map."""
    patches, rows = ((features - bank.mean) / bank.std).to(distance_type), bank.rows.to(distance_type)
    least, index = torch.cdist(patches, rows).min(dim=1)
    worst = least.argmax()
    around = torch.cdist(rows[index[worst]][None], rows)[0].topk(REWEIGHTING, largest=False).indices[1:]
    to_neighbors = torch.linalg.norm(patches[worst] - rows[around], dim=1)
    root = patches.shape[1] ** 0.5
    weight = 1 - torch.exp(least[worst] / root) / torch.exp(to_neighbors / root).sum()
    upsampled = functional.interpolate(least.float().view(1, 1, GRID, GRID), size=(SIZE, SIZE), mode="bilinear")[0, 0]
    return float(weight * least[worst]), gaussian_filter(upsampled.cpu().numpy(), BLUR_SIGMA)


def open3d_part(points_hw3: Points, preprocessing: Preprocessing) -> Mask:
    """The published preprocessing on bare points, through Open3D: which pixels are part, (H, W) bool."""
    try:
        import open3d
    except ImportError as error:
        raise SystemExit(
            f"the baseline needs Open3D ({error}): pip install open3d, and its system libraries: "
            "apt-get install libusb-1.0-0 libgl1 libgomp1"
        ) from error

    def cloud(points_n3: Points) -> Any:
        return open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points_n3.astype(np.float64)))

    valid = valid_mask(points_hw3)
    border = np.ones_like(valid)
    inner = slice(preprocessing.border_pixels, -preprocessing.border_pixels)
    border[inner, inner] = False
    open3d.utility.random.seed(preprocessing.seed)
    (*normal, offset), _ = cloud(points_hw3[border & valid]).segment_plane(
        preprocessing.ransac_threshold_m, PLANE_SAMPLE, preprocessing.ransac_iterations
    )
    beside = valid & (np.abs(points_hw3 @ np.array(normal) + offset) > preprocessing.plane_distance_m)
    labels = np.asarray(
        cloud(points_hw3[beside]).cluster_dbscan(preprocessing.cluster_distance_m, preprocessing.cluster_min_points)
    )
    part = np.zeros_like(valid)
    part[beside] = labels == np.bincount(labels[labels >= 0]).argmax()
    return part


def prepared(points_hw3: Points, part: Mask, pad_multiple: int) -> Points:
    """Zero what is not part, pad to a square and resize by nearest neighbor: (224, 224, 3)."""
    height, width = part.shape
    side = -(-max(height, width) // pad_multiple) * pad_multiple
    padded = np.zeros((side, side, 3), np.float32)
    top, left = (side - height) // 2, (side - width) // 2
    padded[top : top + height, left : left + width] = np.where(part[:, :, None], points_hw3, 0)
    as_image = torch.from_numpy(padded).permute(2, 0, 1)[None]
    resized: Points = functional.interpolate(as_image, size=(SIZE, SIZE), mode="nearest")[0].permute(1, 2, 0).numpy()
    return np.ascontiguousarray(resized)
