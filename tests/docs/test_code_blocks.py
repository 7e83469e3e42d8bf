"""TOML of the documentation is read by the real readers, Python compiles, JSON is JSON."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from cmdiad.calibration.calibration_settings import CalibrationSettings
from cmdiad.calibration.settings_file import apply_settings_file
from cmdiad.fleet.products_file import ProductsFile, read_products
from cmdiad.runtime.sensor.sensor_file import read_sensor_file
from cmdiad.runtime.sensor.sensor_keys import TABLES
from cmdiad.runtime.service.line_file import LineFile, read_line_file

from .pages import PAGES, CodeBlock, code_blocks

BLOCKS = [block for page in PAGES for block in code_blocks(page)]
_PRODUCT = '\n[[product]]\nname = "part"\nbundle = "part.cmdiad"\n'


def of_language(language: str) -> list[CodeBlock]:
    return [block for block in BLOCKS if block.language == language]


@pytest.mark.parametrize("block", of_language("toml"), ids=lambda block: block.place)
def test_toml_is_read_by_its_reader(block: CodeBlock, tmp_path: Path) -> None:
    content = tomllib.loads(block.text)
    file = tmp_path / "file.toml"
    file.write_text(block.text, encoding="utf-8")
    if set(content) <= set(TABLES):
        read_sensor_file(file)
    elif set(content) <= set(LineFile.__struct_fields__):
        # A piece of a line's file is one with a product.
        file.write_text(block.text + ("" if "product" in content else _PRODUCT), encoding="utf-8")
        read_line_file(file)
    elif set(content) <= set(ProductsFile.__struct_fields__):
        read_products(file)
    else:
        assert apply_settings_file(CalibrationSettings(), file) == CalibrationSettings()


@pytest.mark.parametrize("block", of_language("python"), ids=lambda block: block.place)
def test_python_compiles(block: CodeBlock) -> None:
    compile(block.text, block.place, "exec")


@pytest.mark.parametrize("block", of_language("json"), ids=lambda block: block.place)
def test_json_is_json(block: CodeBlock) -> None:
    # `...` stands for more keys.
    whole = re.sub(r",\s*\.\.\.\s*(?=[}\]])", "", block.text)
    for text in whole.strip().splitlines() if whole.count("\n{") else [whole]:
        json.loads(text)


def test_every_block_says_what_it_is() -> None:
    known = {"", "sh", "text", "toml", "python", "json"}
    assert [block.place for block in BLOCKS if block.language not in known] == []
    assert min(len(of_language(language)) for language in ("toml", "python", "sh")) >= 5
