"""What a notebook shows of an inspection: self-contained, small, and free of whatever a name may hold."""

from __future__ import annotations

import re
from base64 import b64decode
from io import BytesIO

import numpy as np
from cmdiad.runtime.verdict.notebook import verdict_html
from cmdiad.runtime.verdict.regions import find_regions
from PIL import Image


def shown(size: int = 40, n_regions: int = 1, title: str = "lid", score: float = 3.0) -> str:
    map_hw = np.zeros((size, size), np.float32)
    for number in range(n_regions):
        map_hw[4 * (number // 8) + 1, 4 * (number % 8) + 1] = 2 + number
    regions = find_regions(map_hw, np.ones_like(map_hw, bool), 1.0)
    picture = np.zeros((size, size, 3), np.uint8)
    return verdict_html(title, score, 2.0, picture, regions, regions[0].of if regions else 0)


def test_it_says_the_verdict_with_score_and_threshold() -> None:
    assert "defect</b>, score 3, threshold 2</p>" in shown()
    assert "good</b>, score 1.5, threshold 2</p>" in shown(score=1.5)


def test_it_refers_to_nothing_and_runs_nothing() -> None:
    html = shown()
    assert re.findall(r'(?:src|href)="([^"]{0,22})', html) == ["data:image/png;base64,"]
    assert "<script" not in html and "http" not in html


def test_a_name_is_text() -> None:
    html = shown(title='<img src=x onerror="alert(1)">&')
    assert "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&amp;" in html and html.count("<img") == 1


def test_a_large_picture_is_thinned_and_says_so() -> None:
    html = shown(size=1000)
    match = re.search(r"base64,([^\"]+)", html)
    assert match is not None
    assert max(Image.open(BytesIO(b64decode(match[1]))).size) <= 480
    assert "1000 x 1000 pixels, one in 3 shown" in html and len(html) < 100_000


def test_regions_are_rows_and_what_is_left_out_is_said() -> None:
    assert shown(n_regions=0).count("<tr>") == 0 and "no pixel is above" in shown(n_regions=0)
    assert shown(n_regions=3).count("<tr>") == 4 and "more" not in shown(n_regions=3)
    assert shown(n_regions=11).count("<tr>") == 9 and "and 3 more" in shown(n_regions=11)
    assert shown(n_regions=40).count("<tr>") == 9 and "and 32 more" in shown(n_regions=40)
