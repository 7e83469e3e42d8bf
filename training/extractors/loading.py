"""The embedded pair: small extractors whose weights ship with the project (training/embedded)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from .cnn import ImageCnn, embedded_image_cnn
from .point_transformer import POINT_EMBEDDED, PointTransformer

EMBEDDED_DIR: Final = Path(__file__).resolve().parent.parent / "embedded"
POINT_WEIGHTS: Final = EMBEDDED_DIR / "point_extractor.safetensors"
IMAGE_WEIGHTS: Final = EMBEDDED_DIR / "image_extractor.safetensors"


def save_half(model: nn.Module, path: Path) -> None:
    """Write a model's floating-point weights as half precision; counters are left out."""
    tensors = {
        name: tensor.detach().to("cpu", torch.float16).contiguous()
        for name, tensor in model.state_dict().items()
        if tensor.is_floating_point()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)


def load_half(model: nn.Module, path: Path) -> None:
    """Read what `save_half` wrote into a float32 model.

    Raises:
        RuntimeError: names or shapes do not fit the model.
    """
    counters = {name: value for name, value in model.state_dict().items() if not value.is_floating_point()}
    model.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()} | counters)


def load_embedded_point_extractor() -> PointTransformer:
    """The embedded point extractor (`POINT_EMBEDDED`), float32, in eval mode."""
    model = PointTransformer(POINT_EMBEDDED)
    load_half(model, POINT_WEIGHTS)
    return model.eval()


def load_embedded_image_extractor() -> ImageCnn:
    """The embedded image extractor (`cnn.embedded_image_cnn`), float32, in eval mode."""
    model = embedded_image_cnn()
    load_half(model, IMAGE_WEIGHTS)
    return model.eval()
