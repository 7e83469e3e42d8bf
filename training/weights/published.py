"""Published weights: what they are called, where they come from, and where they are looked for. No network.

Nothing is downloaded: a user puts the files into one folder once, and every command finds them there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ...runtime.errors import WeightsError
from ...runtime.files.user_cache import user_cache

WEIGHTS_VARIABLE = "CMDIAD_WEIGHTS"
NOT_PUBLISHED = "not published"

_DINO = "https://dl.fbaipublicfiles.com/dino"
_CMDIAD = "https://github.com/evenrose/CMDIAD (README, Checkpoints)"
_IMAGENET = "ImageNet"
_SHAPENET = "ShapeNet (non-commercial research)"
_MVTEC = "MVTec 3D-AD (CC BY-NC-SA 4.0)"


@dataclass(frozen=True)
class PublishedWeights:
    """One published file.

    Attributes:
        name: the extractor's or route's name here.
        files: the names it is looked for under, that of the source first.
        source: where to get it.
        license: of the repository that publishes it.
        trained_on: the data, whose terms may bind what one makes from the weights.
        sha256: of the file; None where its authors publish none.
    """

    name: str
    files: tuple[str, ...]
    source: str
    license: str
    trained_on: str
    sha256: str | None = None


PUBLISHED = (
    PublishedWeights(
        "point-mae",
        ("pretrain.pth", "pointmae_pretrain.pth"),
        "https://github.com/Pang-Yatian/Point-MAE (releases, pretrain.pth)",
        "MIT",
        _SHAPENET,
    ),
    PublishedWeights(
        "point-bert", ("Point-BERT.pth",), "https://github.com/lulutang0608/Point-BERT (README)", "MIT", _SHAPENET
    ),
    PublishedWeights(
        "vit_base_patch8_224.dino",
        ("dino_vitbase8_pretrain.pth", "vit_base_patch8_224.dino.safetensors"),
        f"{_DINO}/dino_vitbase8_pretrain/dino_vitbase8_pretrain.pth",
        "Apache-2.0",
        _IMAGENET,
    ),
    PublishedWeights(
        "vit_small_patch8_224.dino",
        ("dino_deitsmall8_pretrain.pth", "vit_small_patch8_224.dino.safetensors"),
        f"{_DINO}/dino_deitsmall8_pretrain/dino_deitsmall8_pretrain.pth",
        "Apache-2.0",
        _IMAGENET,
    ),
    PublishedWeights(
        "vit_base_patch8_224.augreg_in21k",
        ("vit_base_patch8_224.augreg_in21k.safetensors", "vit_base_patch8_224.augreg_in21k.pth"),
        "https://huggingface.co/timm/vit_base_patch8_224.augreg_in21k (model.safetensors, renamed)",
        "Apache-2.0",
        "ImageNet-21k",
    ),
    PublishedWeights("f2f-pc", ("MTFI_FtoF_PCs.pth",), _CMDIAD, "MIT", _MVTEC),
    PublishedWeights("f2f-rgb", ("MTFI_FtoF_RGB.pth",), _CMDIAD, "MIT", _MVTEC),
    PublishedWeights("f2i-pc", ("MTFI_FtoI_PCs.pth",), _CMDIAD, "MIT", _MVTEC),
    PublishedWeights("f2i-rgb", ("MTFI_FtoI_RGB.pth",), _CMDIAD, "MIT", _MVTEC),
)


def is_timm_model(name: str) -> bool:
    """Whether timm makes a model of this name."""
    import timm

    return bool(timm.is_model(name))


def weights_folder() -> Path:
    """Where weights are looked for: $CMDIAD_WEIGHTS, else `cmdiad/weights` in the user's cache folder."""
    if given := os.environ.get(WEIGHTS_VARIABLE):
        return Path(given)
    return user_cache("weights")


def published_weights(name: str) -> PublishedWeights:
    """The entry of an extractor or route; another timm model's file is called by its name.

    Raises:
        WeightsError: there is none.

    Example:
        >>> published_weights("f2f-pc").files
        ('MTFI_FtoF_PCs.pth',)
    """
    for entry in PUBLISHED:
        if entry.name == name:
            return entry
    if is_timm_model(name):
        source = f"https://huggingface.co/timm/{name} (model.safetensors, renamed)"
        return PublishedWeights(
            name, (f"{name}.safetensors", f"{name}.pth"), source, "see the source", "see the source"
        )
    known = ", ".join(entry.name for entry in PUBLISHED)
    raise WeightsError(f"there are no published weights {name!r}: choose one of {known}")


def present_file(entry: PublishedWeights) -> Path | None:
    """The file in the weights folder; None if there is none."""
    candidates = [weights_folder() / file for file in entry.files]
    return next((file for file in candidates if file.is_file()), None)


def find_weights(name: str, given: str | None, option: str = "its checkpoint option") -> Path:
    """The weights file of an extractor or route: the one given, else that in the weights folder.

    Args:
        name: see `published_weights`.
        given: a file; None: that in the weights folder.
        option: the one of the command line that takes a file.

    Raises:
        WeightsError: it is not there; says where it can be had and where to put it.
    """
    if given is not None:
        path = Path(given)
        if not path.is_file():
            raise WeightsError(f"{path}: there is no such weights file: give another, or random:0 for seeded weights")
        return path.resolve()
    entry = published_weights(name)
    path_or_none = present_file(entry)
    if path_or_none is None:
        raise WeightsError(
            f"{weights_folder() / entry.files[0]}: the weights of {name} are not here: get {entry.files[0]} from "
            f"{entry.source} and put it there, or give {option} FILE (random:0 instead of a file: seeded weights)"
        )
    return path_or_none.resolve()
