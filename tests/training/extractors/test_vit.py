from __future__ import annotations

import pytest
import torch
from cmdiad.training.extractors.vit import (
    N_TOKENS,
    PUBLISHED_VITS,
    VIT_BASE,
    ImageTransformer,
    timm_image_transformer,
)
from timm.models.vision_transformer import VisionTransformer


def tiny() -> ImageTransformer:
    torch.manual_seed(0)
    vit = VisionTransformer(img_size=224, patch_size=8, num_classes=0, embed_dim=32, depth=2, num_heads=2)
    return ImageTransformer(vit).eval()


def images(batch: int) -> torch.Tensor:
    return torch.randn(batch, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def test_full_size_has_the_papers_parameter_count() -> None:
    vit = timm_image_transformer(VIT_BASE, initialized=False).vit
    without_positions = sum(p.numel() for p in vit.parameters()) - vit.pos_embed.numel()
    assert without_positions == pytest.approx(85.2e6, rel=1e-3)
    assert vit.embed_dim == 768


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED_VITS)
def test_published_vits_give_28_by_28_tokens(name: str) -> None:
    model = timm_image_transformer(name, initialized=False).eval()
    with torch.no_grad():
        assert model(images(1)).shape == (1, N_TOKENS, model.token_dim)


def test_tokens_are_the_normalized_patch_tokens_without_the_class_token() -> None:
    model = tiny()
    vit, image = model.vit, images(2)
    with torch.no_grad():
        x = vit.patch_embed.proj(image).flatten(2).transpose(1, 2)
        x = torch.cat([vit.cls_token.expand(2, -1, -1), x], dim=1) + vit.pos_embed
        for block in vit.blocks:
            x = block(x)
        torch.testing.assert_close(model(image), vit.norm(x)[:, 1:], atol=1e-5, rtol=1e-5)


def test_tokens_do_not_depend_on_the_rest_of_the_batch_and_repeat_exactly() -> None:
    model, image = tiny(), images(3)
    with torch.no_grad():
        tokens = model(image)
        alone = torch.cat([model(image[k : k + 1]) for k in range(3)])
        assert torch.equal(tokens, model(image))
    torch.testing.assert_close(tokens, alone, atol=1e-5, rtol=1e-5)
