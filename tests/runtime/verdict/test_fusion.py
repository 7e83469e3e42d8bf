"""A fusion is linear, survives its file, and is refused when a number in it is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
from cmdiad.runtime.errors import BundleError
from cmdiad.runtime.verdict.fusion import Combination, Fusion, decode_fusion, encode_fusion
from cmdiad.runtime.verdict.scoring import upsample_blur

FUSION = Fusion(
    score=Combination(coefficients=(0.9, 1.1), offset=1.9, alpha=0.05, beta=0.2),
    map=Combination(coefficients=(0.7, 0.6), offset=1.2, alpha=0.1, beta=1 / 3),
)


def test_scores_are_fused_by_the_balanced_coefficients() -> None:
    assert FUSION.fuse_scores(20.0, 5.0) == pytest.approx(0.9 * 0.05 * 20 + 1.1 * 0.2 * 5)


def test_maps_are_fused_pixel_by_pixel_and_empty_stays_zero() -> None:
    main, second = np.random.default_rng(0).random((2, 56, 56)).astype(np.float32)
    main[:5], second[:5] = 0, 0
    fused = FUSION.fuse_maps(main, second)
    assert fused.dtype == np.float32
    np.testing.assert_allclose(fused, 0.7 * 0.1 * main + 0.6 / 3 * second, rtol=1e-6)
    assert not fused[:5].any()


def test_fusing_before_upsampling_is_fusing_after() -> None:
    main, second = np.random.default_rng(1).random((2, 56, 56)).astype(np.float32)
    before = upsample_blur(FUSION.fuse_maps(main, second))
    after = FUSION.fuse_maps(upsample_blur(main), upsample_blur(second))
    np.testing.assert_allclose(before, after, atol=1e-6)


def test_the_file_holds_every_bit() -> None:
    assert decode_fusion(encode_fusion(FUSION), "here") == FUSION


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("alpha", None),
        ("alpha", 0.0),
        ("beta", -1.0),
        ("coefficients", [1.0, -0.1]),
        ("coefficients", [1.0]),
        ("coefficients", [1.0, "1.0"]),
        ("gamma", 1.0),
    ],
)
def test_a_wrong_number_is_refused_with_the_place(key: str, value: object) -> None:
    content = json.loads(encode_fusion(FUSION))
    content["map"][key] = value
    with pytest.raises(BundleError, match=r"bundle: fusion\.json: is not a valid fusion"):
        decode_fusion(json.dumps(content).encode(), "bundle: fusion.json")


@pytest.mark.parametrize("raw", [b"", b"[]", b"\xff", b'{"score": 1}'])
def test_other_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(BundleError):
        decode_fusion(raw, "here")


def test_a_number_beyond_the_floats_is_refused() -> None:
    raw = encode_fusion(FUSION).replace(b'"offset": 1.9', b'"offset": 1e999')
    assert b"1e999" in raw
    with pytest.raises(BundleError):
        decode_fusion(raw, "here")
