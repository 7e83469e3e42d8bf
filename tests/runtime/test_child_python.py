"""A process that we start finds what we found, wherever it runs."""

import os
import sys
from pathlib import Path

from cmdiad.runtime.child_python import child_environment, last_words, missing_library


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


# What onnxruntime-gpu 1.31 prints where there is no driver.
NO_DRIVER = (
    b"\x1b[1;31m2026-11-29 16:03:12.975314310 [E:onnxruntime:Default, provider_bridge_ort.cc:2458 operator()] "
    b"ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library /gpu/onnxruntime/capi/"
    b"libonnxruntime_providers_cuda.so with error: libcuda.so.1: cannot open shared object file: No such file or "
    b"directory\n\x1b[m\n\x1b[0;93m2026-11-29 16:03:12.976182830 [W:onnxruntime:Default, onnxruntime_pybind_state.cc:"
    b"1295 CreateExecutionProviderFactoryInstance] Failed to create CUDAExecutionProvider. Require cuDNN 9.* and CUDA "
    b"13.*. Please install all dependencies as mentioned in the GPU requirements page.\x1b[m\n"
)
LIBRARY = "libcuda.so.1: cannot open shared object file: No such file or directory"


def test_last_words_name_the_library_that_is_missing():
    assert last_words(NO_DRIVER) == f"; its last output: {LIBRARY}"
    windows = (
        b'Error loading "C:\\ort\\cuda.dll" which depends on "cublasLt64_13.dll" which is missing. (Error 126)\nMore\n'
    )
    assert last_words(windows) == '; its last output: "cublasLt64_13.dll" which is missing'


def test_last_words_have_no_colors():
    assert last_words(b"\x1b[0;93mall\x1b[m\n is \x1b[1mwell\x1b[0m\n") == "; its last output: all is well"
    assert last_words(b"\x1b[m\n") == ""


def test_a_text_without_a_missing_library_names_none():
    assert missing_library("Please install TensorRT libraries; a library is missing") is None
    assert missing_library(f"cuda does not run ({LIBRARY}): install it") is not None
