"""What a line file says wrong of folders and secrets is told before anything is opened or made."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from cmdiad.runtime.errors import UsageError
from cmdiad.runtime.service.line_file import (
    FolderTable,
    HttpTable,
    LineFile,
    LineTable,
    MqttTable,
    ProductTable,
    WebhookTable,
)
from cmdiad.runtime.service.line_places import require_sound_places
from cmdiad.runtime.service.production_line import ProductionLine


def a_line(*folders: FolderTable, out: str = "out", **tables: object) -> LineFile:
    return LineFile(
        line=LineTable(out=out),
        product=[ProductTable(name="part", bundle="no such bundle")],
        folder=list(folders),
        **tables,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("folders", "out", "words"),
    [
        ([], "file", "out: .*file is not a folder: give a folder for results"),
        ([], "file/below", "out: .*file is not a folder"),
        ([FolderTable(path="file")], "out", "folder 'folder': .*file is not a folder: give the folder that scans"),
        ([FolderTable(path="out/in")], "out", "is in the results folder"),
        ([FolderTable(path="out")], "out", "is in the results folder"),
        ([FolderTable(path="out/rejected")], "out", "is in the results folder"),
        ([FolderTable(path="in", recursive=True)], "in/results", "would inspect what is written there"),
        (
            [FolderTable(path="in", recursive=True, after="move", done="in/done")],
            "out",
            "moves scans to .*in/done, where .* would take them again",
        ),
        ([FolderTable(path="in", after="move", done="in")], "out", "would take them again"),
        ([FolderTable(path="in", after="move", done="file")], "out", "folder 'folder', done: .*file is not a folder"),
        (
            [FolderTable(path="a/b", name="b", after="move"), FolderTable(path="a", name="a", recursive=True)],
            "out",
            "folder 'b': moves scans to .*b-done, where .* would take them again",
        ),
        (
            [FolderTable(path="in", name="a"), FolderTable(path="in", name="b", after="delete")],
            "out",
            r"folder 'b': takes scans away \(delete\) that folder 'a' watches too",
        ),
    ],
)
def test_places_that_defeat_each_other_are_refused_before_anything_is_made(
    tmp_path: Path, folders: list[FolderTable], out: str, words: str
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match=words) as refused:
        ProductionLine(a_line(*folders, out=out), tmp_path)
    assert "\n" not in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    "folders",
    [
        [FolderTable(path=".")],
        [FolderTable(path="in", after="move")],
        [FolderTable(path="in", recursive=True, after="move", done="in/.done")],
        [FolderTable(path="in", after="move", done="in/done")],
        [FolderTable(path="in", name="a"), FolderTable(path="in", name="b")],
        [FolderTable(path="a", name="a", after="move"), FolderTable(path="b", name="b", after="move")],
    ],
)
def test_places_that_are_apart_are_accepted(tmp_path: Path, folders: list[FolderTable]) -> None:
    require_sound_places(a_line(*folders), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_a_link_to_the_results_is_seen_through(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "in").symlink_to("out")
    with pytest.raises(UsageError, match="is in the results folder"):
        require_sound_places(a_line(FolderTable(path="in")), tmp_path)
    (tmp_path / "gone").symlink_to("nowhere")
    with pytest.raises(UsageError, match="gone is a link to nothing"):
        require_sound_places(a_line(FolderTable(path="gone")), tmp_path)


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"http": HttpTable(token_file="short")}, "has a token of 5 characters"),
        ({"http": HttpTable(token_file="none")}, "none: cannot be read"),
        ({"http": HttpTable(host="0.0.0.0")}, "can be reached from other machines"),
        ({"http": HttpTable(tls_cert="short", tls_key="short")}, "tls_cert .*short and tls_key .*cannot be used"),
        ({"http": HttpTable(tls_cert="none", tls_key="none")}, "cannot be used: No such file"),
        ({"webhook": [WebhookTable(url="http://localhost/", token_file="two")]}, "two: must hold the secret on one"),
        ({"mqtt": [MqttTable(host="localhost", password_file="none")]}, "none: cannot be read"),
    ],
)
def test_a_bad_secret_is_told_before_bundles_are_opened(tmp_path: Path, tables: dict[str, object], words: str) -> None:
    (tmp_path / "short").write_text("12345\n")
    (tmp_path / "two").write_text("one\ntwo\n")
    with pytest.raises(UsageError, match=words):
        ProductionLine(a_line(**tables), tmp_path)
    assert not (tmp_path / "out").exists()
