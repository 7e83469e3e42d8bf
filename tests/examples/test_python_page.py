"""The code of docs/python.md does what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import tifffile

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "python.md"


@pytest.mark.slow
def test_the_page_can_be_followed_from_above(
    synth_data: Path,
    exported_bundle: Path,
    calibrated_bundle: Path,
    trained_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scans = synth_data / "gland" / "test" / "good" / "xyz"
    for name, target in (("lid.cmdiad", calibrated_bundle), ("exported", exported_bundle), ("scans", scans)):
        (tmp_path / name).symlink_to(target)
    monkeypatch.chdir(tmp_path)
    good = sorted((synth_data / "gland" / "train" / "good" / "xyz").iterdir())
    points, frames = tifffile.imread(scans / "000.tiff"), [tifffile.imread(path) for path in good]
    names: dict[str, Any] = {"points": points, "frames": frames}
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.M | re.S)
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    said = capsys.readouterr().out
    assert len(blocks) == 6 and "A-18: has no measured point: check the sensor's exposure and range" in said
    assert str(Path("results/A-17_heatmap.png")) in said and re.search(r"^A-19 \d", said, flags=re.M)
    assert names["worst"].shape == (3,) and names["picture"].shape == names["points"].shape
    route, rows = names["trained"](trained_run, synth_data)
    assert route == "f2f" and rows[0][0] == "gland" and (tmp_path / "report" / "report.html").is_file()
    names["inspector"].close()
