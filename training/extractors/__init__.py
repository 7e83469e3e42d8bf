"""The frozen feature extractors: Point-MAE, Point-BERT and ViT, full size and embedded."""

from __future__ import annotations

from .loading import load_embedded_image_extractor, load_embedded_point_extractor
from .point_transformer import POINT_BERT_FULL, POINT_EMBEDDED, POINT_MAE_FULL, PointTransformer, PointTransformerConfig
from .vit import IMAGE_EMBEDDED, ImageTransformer, ImageTransformerConfig

__all__ = [
    "IMAGE_EMBEDDED",
    "POINT_BERT_FULL",
    "POINT_EMBEDDED",
    "POINT_MAE_FULL",
    "ImageTransformer",
    "ImageTransformerConfig",
    "PointTransformer",
    "PointTransformerConfig",
    "load_embedded_image_extractor",
    "load_embedded_point_extractor",
]
