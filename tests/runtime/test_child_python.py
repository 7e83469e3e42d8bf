"""A process that we start finds what we found, wherever it runs."""

import os
import sys
from pathlib import Path

from cmdiad.runtime.child_python import child_environment


def places():
    return child_environment()["PYTHONPATH"].split(os.pathsep)


def test_relative_places_become_absolute_and_come_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["lib", "", "../other"]))
    assert places()[:2] == [str(tmp_path / "lib"), str(tmp_path.parent / "other")]


def test_the_working_directory_is_no_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr(sys, "path", ["", "/added/later"])
    assert places() == ["/added/later"]
    assert child_environment()["PYTHONSAFEPATH"] == "1"


def test_all_else_stays_as_it_is(monkeypatch):
    monkeypatch.setenv("HERE", "yes")
    assert child_environment()["HERE"] == "yes"
    assert all(Path(place).is_absolute() for place in places())
