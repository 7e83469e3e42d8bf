"""CNNs as image extractors: stages side by side at the finest one's places, averaged over neighbors."""

from __future__ import annotations

import timm
import torch
from cmdiad.training.extractors.cnn import GAINS_EMBEDDED, ImageCnn, timm_image_cnn
from cmdiad.training.extractors.loading import load_embedded_image_extractor
from torch.nn import functional


def images(batch: int) -> torch.Tensor:
    return torch.randn(batch, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def test_tokens_are_the_stages_that_timm_gives_averaged_and_side_by_side() -> None:
    torch.manual_seed(0)
    network = timm_image_cnn("resnet18@8,16").eval()
    reference = timm.create_model("resnet18", features_only=True, pretrained=False, out_indices=(2, 3)).eval()
    reference.load_state_dict(network.backbone.state_dict(), strict=False)
    image = images(1)
    with torch.inference_mode():
        fine, coarse = (functional.avg_pool2d(stage, 3, 1, 1, count_include_pad=False) for stage in reference(image))
        coarse = functional.interpolate(coarse, size=(28, 28), mode="bilinear", align_corners=False)
        expected = torch.cat([fine, coarse], dim=1).flatten(2).transpose(1, 2)
        torch.testing.assert_close(network(image), expected, atol=1e-5, rtol=1e-5)


def test_cutting_keeps_the_tokens_and_drops_what_they_do_not_need() -> None:
    torch.manual_seed(0)
    network, image = timm_image_cnn("resnet18@4,8").eval(), images(1)
    with torch.inference_mode():
        before = network(image)
        whole = sum(value.numel() for value in network.parameters())
        after = network.cut()(image)
    assert torch.equal(before, after) and after.shape == (1, 56 * 56, network.token_dim)
    assert sum(value.numel() for value in network.parameters()) < 0.1 * whole


def test_a_model_with_a_normalization_of_its_own_sees_its_own() -> None:
    """EfficientNet-Lite0 was trained on pixels from -1 to 1; images come with ImageNet's mean and deviation."""
    network = ImageCnn("tf_efficientnet_lite0")
    black = torch.tensor([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225]).view(1, 3, 1, 1)
    torch.testing.assert_close(black * network.scale + network.shift, torch.full((1, 3, 1, 1), -1.0))


def test_gains_weigh_the_stages() -> None:
    torch.manual_seed(0)
    plain, image = ImageCnn("resnet18", (8, 16)).eval(), images(1)
    weighed = ImageCnn("resnet18", (8, 16), (2.0, 0.5)).eval()
    weighed.load_state_dict(plain.state_dict())
    with torch.inference_mode():
        before, after = plain(image), weighed(image)
    torch.testing.assert_close(after[..., :128], 2 * before[..., :128])
    torch.testing.assert_close(after[..., 128:], 0.5 * before[..., 128:])


def test_the_embedded_extractor_tells_textures_apart() -> None:
    """Random weights do not: stripes and checks of the same brightness are farther apart than two shifts of one."""
    x, y = torch.meshgrid(torch.arange(224), torch.arange(224), indexing="ij")
    period = 12
    stripes, shifted = ((((x + move) // period) % 2).float() for move in (0, period // 3))
    checks = ((x // period + y // period) % 2).float()
    batch = torch.stack([pattern.expand(3, -1, -1) for pattern in (stripes, shifted, checks)])
    with torch.inference_mode():
        one, same, other = load_embedded_image_extractor()(batch).mean(dim=1)
    assert (one - other).norm() > 2 * (one - same).norm()


def test_the_embedded_gains_fit_its_stages() -> None:
    assert len(GAINS_EMBEDDED) == 2 and load_embedded_image_extractor().token_dim == 40 + 112
