"""Only files in the trigger folder are opened, whatever a controller calls them."""

from __future__ import annotations

from pathlib import Path

import pytest
from cmdiad.runtime.errors import ScanError, UsageError
from cmdiad.runtime.service.loopback import is_loopback
from cmdiad.runtime.service.sinks.trigger_folder import file_in


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "triggered"
    (made / "below").mkdir(parents=True)
    for path in (tmp_path / "secret.tiff", made / "part.tiff", made / "Prüfling 7.ply", made / "below" / "part.tiff"):
        path.write_bytes(b"scan")
    (made / "out.tiff").symlink_to(tmp_path / "secret.tiff")
    (made / "in.tiff").symlink_to("part.tiff")
    (made / "broken.tiff").symlink_to("nowhere")
    (made / "loop.tiff").symlink_to("loop.tiff")
    return made


@pytest.mark.parametrize(
    ("name", "file"), [("part.tiff", "part.tiff"), ("Prüfling 7.ply", "Prüfling 7.ply"), ("in.tiff", "part.tiff")]
)
def test_a_file_in_the_folder_is_given_where_it_really_lies(name: str, file: str, folder: Path) -> None:
    assert file_in(folder, name) == folder.resolve() / file


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../secret.tiff", "below/part.tiff", "./part.tiff", "part.tiff/", "/etc/hostname"),
        *(
            "..\\secret.tiff",
            "below\\part.tiff",
            "C:part.tiff",
            "C:\\part.tiff",
            "\\\\host\\share",
            "part.tiff\0",
            "a\nb",
        ),
        "out.tiff",
    ],
)
def test_a_path_or_a_link_that_leads_out_is_refused(name: str, folder: Path) -> None:
    with pytest.raises(UsageError, match="trigger folder"):
        file_in(folder, name)


@pytest.mark.parametrize("name", ["nothing.tiff", "broken.tiff", "loop.tiff", "below"])
def test_what_is_no_file_is_named(name: str, folder: Path) -> None:
    with pytest.raises(ScanError, match=name):
        file_in(folder, name)


def test_a_folder_that_is_missing_has_no_files(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="no such file"):
        file_in(tmp_path / "missing", "part.tiff")


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        *(("127.0.0.1", True), ("127.5.5.5", True), ("::1", True), ("[::1]", True), ("localhost", True)),
        *(("0.0.0.0", False), ("::", False), ("192.168.1.5", False), ("line-pc", False), ("localhost.plant", False)),
    ],
)
def test_only_this_machine_itself_is_loopback(host: str, is_own: bool) -> None:
    assert is_loopback(host) == is_own
