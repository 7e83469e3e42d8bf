"""The process that measures one configuration speaks as the command that started it does."""

import io
import warnings
from types import SimpleNamespace

import msgspec
from cmdiad.runtime.bench.measuring import worker


def test_a_warning_of_the_process_is_one_line_without_a_place_in_the_code(monkeypatch):
    said = []
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(worker, "_claim_stdout", lambda: lambda message: None)
    monkeypatch.setattr(worker, "decode_own_json", lambda line, kind: None)
    monkeypatch.setattr(worker.sys, "stdin", SimpleNamespace(buffer=io.BytesIO(msgspec.json.encode({}))))
    monkeypatch.setattr(worker, "_watch_parent", lambda stop: None)
    monkeypatch.setattr(worker, "Measurement", lambda *_: SimpleNamespace(run=lambda: said.append(format_one())))
    worker.main()
    assert said == ["warning: points are grouped on the CPU\n"]


def format_one() -> str:
    return warnings.formatwarning("points are grouped on the CPU", UserWarning, "strategies.py", 120)
