"""The examples in docstrings give what they say."""

import doctest
import importlib
import pkgutil

import pytest
from cmdiad import runtime

MODULES = [module.name for module in pkgutil.walk_packages(runtime.__path__, "cmdiad.runtime.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_right(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
