"""Raw or preprocessed is decided once for a set of scans, without reading all of a large one."""

import numpy as np
import pytest
import tifffile
from cmdiad.runtime.bundle.parameters import Preprocessing
from cmdiad.runtime.errors import ScanError, UsageError
from cmdiad.runtime.preparation import settling
from cmdiad.runtime.preparation.prepare import prepare
from cmdiad.runtime.preparation.settling import MOST_ASKED, settle_scans, short_name

SIDE = 120


def box_on_table(number):
    """(H, W, 3) metres: a box of 30 x 30 x 20 mm on a table 0.4 m before the camera."""
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    x, y = (columns - SIDE / 2) * 1e-3, (rows - SIDE / 2) * 1e-3
    box = (np.abs(x) < 0.015 + 0.0002 * number) & (np.abs(y) < 0.015)
    noise = np.random.default_rng(number).normal(0, 5e-5, x.shape)
    return np.stack([x, y, np.where(box, 0.38, 0.4) + noise], axis=-1).astype(np.float32)


def write(folder, count, preprocessed=()):
    folder.mkdir(exist_ok=True)
    scans = []
    for number in range(count):
        points = box_on_table(number)
        if number in preprocessed:
            points[~prepare(points, Preprocessing(plane="always", side="origin")).kept] = 0
        scans.append(folder / f"{number:03}.tiff")
        tifffile.imwrite(scans[-1], points, photometric="rgb")
    return scans


def test_raw_scans_are_always_and_preprocessed_ones_never(tmp_path):
    raw = settle_scans(Preprocessing(), write(tmp_path / "raw", 4))
    assert (raw.preprocessing.plane, raw.preprocessing.side) == ("always", "origin") and not raw.warnings
    cut = settle_scans(Preprocessing(), write(tmp_path / "cut", 4, range(4)))
    assert cut.preprocessing.plane == "never" and not cut.warnings


def test_a_mixture_is_refused_with_names(tmp_path):
    with pytest.raises(UsageError, match=r"000\.tiff.*--set preprocessing\.plane"):
        settle_scans(Preprocessing(), write(tmp_path / "mixed", 6, (0, 1, 2)))


def test_at_most_fifty_scans_are_read_the_first_and_the_last_among_them(tmp_path, monkeypatch):
    scans = write(tmp_path / "many", 130)
    original, read = settling.read_source, []
    monkeypatch.setattr(settling, "read_source", lambda scan, *rest: read.append(scan) or original(scan, *rest))
    steps = []
    settle_scans(Preprocessing(), scans, lambda done, total: steps.append((done, total)))
    assert len(read) == len(set(read)) == MOST_ASKED and read[0] == scans[0] and read[-1] == scans[-1]
    assert np.diff([scans.index(scan) for scan in read]).max() <= 3
    assert steps == [(number, MOST_ASKED) for number in range(1, MOST_ASKED + 1)]


def test_a_scan_that_cannot_be_read_is_named(tmp_path):
    scans = write(tmp_path / "raw", 3)
    scans[1].write_bytes(b"nothing")
    with pytest.raises(ScanError, match=r"001\.tiff"):
        settle_scans(Preprocessing(), scans)


def test_a_short_name_tells_scans_of_one_file_name_apart(tmp_path):
    assert short_name(tmp_path / "good" / "xyz" / "0.tiff") == "good/xyz/0.tiff"


def test_all_that_cannot_be_read_are_named_at_once_and_what_to_do_is_said_once(tmp_path):
    scans = write(tmp_path / "raw", 15)
    for scan in scans[:12]:
        scan.write_bytes(b"")
    with pytest.raises(ScanError) as caught:
        settle_scans(Preprocessing(), scans)
    message = str(caught.value)
    assert message.startswith("12 of 15 scans cannot be used: ") and message.endswith("; and 2 more")
    assert message.count("is empty (0 bytes)") == 10 and message.count("record or copy it again") == 1
    assert all(str(scan) in message for scan in scans[:10]) and str(scans[10]) not in message
