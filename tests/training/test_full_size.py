"""At full size, from a real scan to score and map, everything is what a plain transcription of the paper gives.

The transcription shares no code with the package: loops and dense tensors, the published layers one by one, features
at full resolution, distances in double precision. Only the trained numbers (weights, banks, fusion) are the same.
"""

import numpy as np
import pytest
import tifffile
import torch
from cmdiad.calibration.calibrate import CalibrationSettings, calibrate_side, combine
from cmdiad.runtime.bundle.parameters import STRUCTURED_LIGHT
from cmdiad.runtime.patches.features import PartFeatures
from cmdiad.runtime.patches.intermediates import feature_arrays
from cmdiad.runtime.patches.pooling import foreground_patches
from cmdiad.runtime.timing import StageTimes
from cmdiad.training.extractors.point_transformer import POINT_MAE_FULL, PointTransformer
from cmdiad.training.feature_dump import CheckpointChoice, torch_source
from cmdiad.training.routes.f2f import FeatureToFeature
from torch.nn import functional

TOLERANCE = 1e-3
GOOD = ("train/good/xyz/000.tiff", "train/good/xyz/001.tiff")
DEFECTIVE = "test/other_shape/xyz/000.tiff"


def map_of_224(path):
    """Pad to the next multiple of 100, centered, then nearest neighbor at floor(i H / 224): (224, 224, 3)."""
    scan = torch.from_numpy(tifffile.imread(path)).nan_to_num(0.0)
    height, width, _ = scan.shape
    side = -(-max(height, width) // 100) * 100
    padded = torch.zeros(side, side, 3)
    top, left = (side - height) // 2, (side - width) // 2
    padded[top : top + height, left : left + width] = scan
    source = torch.tensor([i * side // 224 for i in range(224)])
    return padded[source][:, source]


def farthest_points(points, n):
    x, y, z = points.T.contiguous().numpy()
    chosen, nearest = [0], np.full(len(x), np.inf, np.float32)
    for _ in range(n - 1):
        dx, dy, dz = x - x[chosen[-1]], y - y[chosen[-1]], z - z[chosen[-1]]
        nearest = np.minimum(nearest, dx * dx + dy * dy + dz * dz)
        chosen.append(int(nearest.argmax()))
    return torch.tensor(chosen)


def distances(these, those):
    """Of every one to every other, by differences and in double precision: (n, m)."""
    return torch.cdist(these.double(), those.double(), compute_mode="donot_use_mm_for_euclid_dist")


def encoder(weights, groups):
    """Point-MAE's: convolution, batch norm, ReLU, convolution, maximum, [global, local], the same again, maximum."""

    def conv(x, name):
        return functional.conv1d(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(x, name):
        mean, var, scale, shift = (
            weights[f"{name}.{which}"] for which in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(x, mean, var, scale, shift, training=False)

    embedded = []
    for some in groups.split(128):
        local = conv(norm(conv(some.transpose(1, 2), "encoder.first_conv.0"), "encoder.first_conv.1").relu(),
                     "encoder.first_conv.3")  # fmt: skip
        both = torch.cat([local.amax(2, keepdim=True).expand_as(local), local], dim=1)
        hidden = norm(conv(both, "encoder.second_conv.0"), "encoder.second_conv.1").relu()
        embedded.append(conv(hidden, "encoder.second_conv.3").amax(2))
    return torch.cat(embedded)


def transformer(weights, x, centers):
    """12 blocks with the position added before each; blocks 3 and 11 through the last norm: (1024, 768)."""

    def linear(x, name):
        return functional.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    def norm(x, name):
        return functional.layer_norm(x, (384,), weights[f"{name}.weight"], weights[f"{name}.bias"])

    position = linear(functional.gelu(linear(centers, "pos_embed.0")), "pos_embed.2")
    tokens = []
    for index in range(12):
        block = f"blocks.blocks.{index}"
        x = x + position
        query, key, value = linear(norm(x, f"{block}.norm1"), f"{block}.attn.qkv").view(-1, 3, 6, 64).unbind(1)
        heads = [
            torch.softmax(query[:, h] @ key[:, h].T / 8.0, dim=1) @ value[:, h]
            for h in range(6)
        ]  # fmt: skip
        x = x + linear(torch.cat(heads, dim=1), f"{block}.attn.proj")
        x = x + linear(functional.gelu(linear(norm(x, f"{block}.norm2"), f"{block}.mlp.fc1")), f"{block}.mlp.fc2")
        if index in (3, 11):
            tokens.append(norm(x, "norm"))
    return torch.cat(tokens, dim=1)


def patch_features(points, pixels, centers, tokens):
    """Each pixel from its 3 nearest centers at 224x224, then 3x3 mean and adaptive mean pooling: (3136, 768)."""
    nearest = distances(points, centers).topk(3, largest=False)
    weight = 1 / (nearest.values.square() + 1e-8)
    weight = (weight / weight.sum(1, keepdim=True)).float()
    full = torch.zeros(224 * 224, tokens.shape[1])
    full[pixels] = (tokens[nearest.indices] * weight[:, :, None]).sum(1)
    averaged = functional.avg_pool2d(full.T.reshape(1, -1, 224, 224), 3, stride=1)
    return functional.adaptive_avg_pool2d(averaged, (56, 56)).flatten(2)[0].T


def f2f(weights, features):
    x = functional.layer_norm(features, (768,), weights["xyz_norm.weight"], weights["xyz_norm.bias"])
    for layer in ("fc1", "fc2", "fc3"):
        name = f"xyz_mlp.mlp_module.0.{layer}"
        x = functional.gelu(functional.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"]))
    return x


def bank_score(features, bank):
    """Distances of all patches, and the score that PatchCore's equation 7 makes of the largest."""
    rows = torch.from_numpy(bank.bank.rows + bank.bank.mean).double()
    queries = (features.double() - bank.feature_mean) / bank.feature_std
    distance, index = distances(queries, rows).min(1)
    worst = int(distance.argmax())
    star, nearest_row = distance[worst], int(index[worst])
    among_rows = distances(rows[nearest_row : nearest_row + 1], rows)[0]
    among_rows[nearest_row] = torch.inf
    neighbors = rows[among_rows.topk(2, largest=False).indices]
    root = 768**0.5
    to_neighbors = distances(queries[worst : worst + 1], neighbors)[0]
    weight = 1 - torch.exp(star / root) / torch.exp(to_neighbors / root).sum()
    return float(weight * star), distance


def blurred_map(distances):
    """Bilinear to 224, then a Gaussian of sigma 4, 16 pixels to each side, the border mirrored."""
    upsampled = functional.interpolate(distances.view(1, 1, 56, 56), (224, 224), mode="bilinear", align_corners=False)
    kernel = torch.exp(-0.5 * (torch.arange(-16, 17).double() / 4) ** 2)
    kernel /= kernel.sum()
    mirrored = np.pad(upsampled[0, 0].numpy(), 16, mode="symmetric")
    rows = np.apply_along_axis(np.convolve, 0, mirrored, kernel.numpy(), mode="valid")
    return np.apply_along_axis(np.convolve, 1, rows, kernel.numpy(), mode="valid")


def same(actual, expected):
    """Within 1e-3 of the largest expected value."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= TOLERANCE * np.abs(expected).max()


@pytest.fixture(scope="module")
def weights():
    """Point-MAE at full size with seeded weights, and batch statistics that are not the initial ones; F2F."""
    torch.manual_seed(0)
    point, route = PointTransformer(POINT_MAE_FULL), FeatureToFeature(768, 768)
    for name, value in point.state_dict().items():
        if "running" in name:
            value.uniform_(0.5, 1.5)
    return point.state_dict(), route.state_dict()


@pytest.fixture(scope="module")
def source(weights, tmp_path_factory):
    """The package's networks, from files in the published formats."""
    folder = tmp_path_factory.mktemp("checkpoints")
    point, route = weights
    torch.save(
        {"base_model": {f"module.MAE_encoder.{name}": value for name, value in point.items()}}, folder / "pretrain.pth"
    )
    torch.save({"model": route}, folder / "MTFI_FtoF_PCs.pth")
    choice = CheckpointChoice(
        main="pc",
        point_extractor="point-mae",
        image_extractor="embedded",
        point_checkpoint=str(folder / "pretrain.pth"),
        route_checkpoint=folder / "MTFI_FtoF_PCs.pth",
    )
    return torch_source(choice, STRUCTURED_LIGHT)


@pytest.fixture(scope="module")
def transcription(weights, shared_data):
    """Every step of one defective scan."""
    point, route = weights
    points_224 = map_of_224(shared_data / "tabletop_objects" / "box" / DEFECTIVE)
    pixels = (points_224 != 0).any(2).flatten().nonzero().squeeze(1)
    points = points_224.view(-1, 3)[pixels]
    center_idx = farthest_points(points, 1024)
    centers = points[center_idx]
    members = distances(centers, points).topk(128, largest=False).indices
    with torch.inference_mode():
        tokens = transformer(point, encoder(point, points[members] - centers[:, None]), centers)
        patch = patch_features(points, pixels, centers, tokens)
        hallucination = f2f(route, patch)
    return {"center_idx": center_idx, "tokens": tokens, "patch": patch, "hallucination": hallucination}


@pytest.fixture(scope="module")
def defective(source, shared_data):
    """The same scan as the package has it: prepared, and its arrays."""
    part = source.prepare(shared_data / "tabletop_objects" / "box" / DEFECTIVE)
    return part, feature_arrays(source, part)


@pytest.mark.slow
def test_features_and_hallucination_are_the_transcriptions(defective, transcription):
    _, actual = defective
    assert actual.keys() == transcription.keys()
    np.testing.assert_array_equal(actual["center_idx"], transcription["center_idx"])
    for name in ("tokens", "patch", "hallucination"):
        same(actual[name], transcription[name])


@pytest.mark.slow
def test_score_and_map_are_the_transcriptions(source, defective, transcription, shared_data):
    parts = [source.prepare(shared_data / "tabletop_objects" / "box" / name) for name in GOOD]
    normal = [source.path.extract(part, StageTimes()) for part in parts]
    settings = CalibrationSettings(coreset_ratio=0.02)
    empty, hallucinated = source.path.without_points(768)
    main = calibrate_side([part.main for part in normal], empty, settings, lambda *_: None)
    second = calibrate_side([part.second for part in normal], hallucinated, settings, lambda *_: None)
    decision = combine([part.foreground for part in normal], main, second, "", settings).decision
    part, arrays = defective
    foreground = foreground_patches(part.valid)
    features = PartFeatures(foreground, arrays["patch"][foreground], arrays["hallucination"][foreground])
    score, map_224 = decision.decide(foreground, decision.match(features))

    score_main, distances_main = bank_score(transcription["patch"], decision.main)
    score_second, distances_second = bank_score(transcription["hallucination"], decision.second)
    assert foreground.sum() > 300 and score_main > 0 and score_second > 0
    learned, by_map = decision.fusion.score, decision.fusion.map
    expected = (
        learned.coefficients[0] * learned.alpha * score_main + learned.coefficients[1] * learned.beta * score_second
    )
    assert score == pytest.approx(expected, rel=TOLERANCE)
    fused = (
        by_map.coefficients[0] * by_map.alpha * distances_main + by_map.coefficients[1] * by_map.beta * distances_second
    )
    same(map_224, blurred_map(fused))
