"""The frozen feature extractors: Point-MAE, Point-BERT, ViTs and CNNs, full size and embedded."""

from __future__ import annotations

from .cnn import ImageCnn
from .loading import load_embedded_image_extractor, load_embedded_point_extractor
from .point_transformer import POINT_BERT_FULL, POINT_EMBEDDED, POINT_MAE_FULL, PointTransformer, PointTransformerConfig
from .vit import ImageTransformer

__all__ = [
    "POINT_BERT_FULL",
    "POINT_EMBEDDED",
    "POINT_MAE_FULL",
    "ImageCnn",
    "ImageTransformer",
    "PointTransformer",
    "PointTransformerConfig",
    "load_embedded_image_extractor",
    "load_embedded_point_extractor",
]
