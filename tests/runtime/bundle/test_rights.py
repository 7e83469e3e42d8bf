"""What this user may not read is said to be that: nothing is called damaged or missing for it."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cmdiad.runtime.bundle.reading import find_bundle, open_bundle, read_manifest
from cmdiad.runtime.bundle.writing import protect_calibration, write_bundle
from cmdiad.runtime.errors import BundleError, CmdiadError, OutputError, ScanError, UsageError
from cmdiad.runtime.sensor.image import read_rgb
from cmdiad.runtime.sensor.listing import visible
from cmdiad.runtime.sensor.scan import read_scan
from cmdiad.training.runs.record import read_run

from .manifests import least_manifest

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="rights are others here")

NOBODY = 65534
MANIFEST = least_manifest()


@contextmanager
def as_somebody() -> Iterator[None]:
    """As a user whom rights stop: root is none."""
    own = os.geteuid()
    if own == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(own)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where others may enter, as they may not enter pytest's own."""
    root = Path(tempfile.mkdtemp())
    root.chmod(0o777)
    with as_somebody():
        if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
            pytest.skip("temporary folders are this user's alone")
    yield root
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o700)
    shutil.rmtree(root)


def refusal(function: Callable[..., Any], *arguments: Any) -> CmdiadError:
    with as_somebody(), pytest.raises(CmdiadError) as caught:
        function(*arguments)
    text = str(caught.value)
    assert "Permission denied" in text and "again" not in text and "train" not in text
    return caught.value


@pytest.mark.parametrize(
    ("bundle", "closed", "said"),
    [
        ("bundle", "bundle", "manifest.json"),
        ("bundle", "bundle/manifest.json", "manifest.json"),
        ("bundle", "bundle/x", "x"),
        ("b.cmdiad", "b.cmdiad", "b.cmdiad"),
    ],
)
def test_a_bundle_is_not_called_damaged(folder: Path, bundle: str, closed: str, said: str) -> None:
    write_bundle(folder / bundle, MANIFEST, {"x": b"1"})
    (folder / closed).chmod(0)
    error = refusal(open_bundle, folder / bundle)
    assert isinstance(error, BundleError)
    assert str(error) == (
        f"{folder / bundle}: {said} cannot be read: Permission denied: give this user permission to read it"
    )
    if closed != "bundle/x":
        assert isinstance(refusal(read_manifest, folder / bundle), BundleError)
        assert isinstance(refusal(protect_calibration, folder / bundle, "advice"), OutputError | UsageError)


def test_a_bundle_in_a_closed_folder_is_not_called_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "closed" / "bundle"
    write_bundle(path, MANIFEST, {"x": b"1"})
    path.parent.chmod(0)
    monkeypatch.setenv("CMDIAD_BUNDLE", str(path))
    for function, given in ((find_bundle, path), (find_bundle, None), (open_bundle, path)):
        assert str(refusal(function, given)) == (
            f"{path}: bundle cannot be read: Permission denied: give this user permission to read it"
        )


def test_a_scan_an_image_and_their_folder_are_named(folder: Path) -> None:
    for name, read in (("a.tiff", read_scan), ("a.png", read_rgb)):
        file = folder / "scans" / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"data")
        file.chmod(0)
        assert f"{file}: cannot be read: Permission denied: check its name, its permissions" in str(refusal(read, file))
    file.parent.chmod(0)
    error = refusal(visible, file.parent)
    assert isinstance(error, ScanError)
    assert str(error) == f"{file.parent}: cannot be searched: Permission denied: check its permissions and the disk"


@pytest.mark.parametrize("closed", ["runs", "runs/one", "runs/one/run.json", "runs/latest"])
def test_a_run_is_not_called_missing(folder: Path, closed: str) -> None:
    (folder / "runs" / "one").mkdir(parents=True)
    (folder / "runs" / "one" / "run.json").write_text("{}")
    (folder / "runs" / "latest").write_text("one\n")
    (folder / closed).chmod(0)
    error = refusal(read_run, folder / "runs" / "latest")
    assert isinstance(error, UsageError)
    assert str(error).endswith("the run cannot be read: Permission denied: give this user permission to read it")


def test_a_run_that_is_not_there_is_still_called_that(folder: Path) -> None:
    (folder / "file").write_text("none\n")
    for path in (folder / "runs", folder / "file", folder / "file" / "latest"):
        with pytest.raises(UsageError, match="no finished training run"):
            read_run(path)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o777
