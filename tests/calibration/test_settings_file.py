"""Settings that hardly anybody changes come from a TOML file, of which nothing is ignored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cmdiad.calibration.calibrate import CalibrationSettings
from cmdiad.calibration.settings_file import apply_settings_file
from cmdiad.runtime.errors import UsageError

GIVEN = CalibrationSettings(false_reject_rate=0.05, seed=3)


def test_what_the_file_names_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('normalization = "reference"\nprojection_eps = 0.5\nnu = 1\nsvm_iterations = 20\n')
    expected = replace(GIVEN, normalization="reference", projection_eps=0.5, nu=1.0, svm_iterations=20)
    assert apply_settings_file(GIVEN, file) == expected
    file.write_text("nu = 0.25\n")
    assert apply_settings_file(GIVEN, file) == replace(GIVEN, nu=0.25)
    file.write_text("")
    assert apply_settings_file(GIVEN, file) == apply_settings_file(GIVEN, None) == GIVEN


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("nu = nan", "nu"),
        ("nu = inf", "nu"),
        ("nu = 0.0", "nu"),
        ("nu = 1.5", "nu"),
        ("nu = '0.5'", "nu"),
        ("projection_eps = 1.0", "projection_eps"),
        ("projection_eps = 0.01", "projection_eps"),
        ("projection_eps = nan", "projection_eps"),
        ("svm_iterations = 0", "svm_iterations"),
        ("svm_iterations = 10.0", "svm_iterations"),
        ("svm_iterations = true", "svm_iterations"),
        ("svm_iterations = 99999999999", "svm_iterations"),
        ("normalization = 'Paper'", "normalization"),
        ("normalisation = 'paper'", "normalisation"),
        ("seed = 1", "seed"),
        ("nu 0.5", "line 1"),
        ("nu = 0.5 # \xff", "utf-8"),
    ],
)
def test_what_makes_no_sense_is_refused_with_file_and_key(line: str, key: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_bytes(line.encode("latin-1"))
    with pytest.raises(UsageError) as refused:
        apply_settings_file(GIVEN, file)
    assert str(refused.value).startswith(f"{file}: ") and key in str(refused.value)


@pytest.mark.parametrize("name", ["nowhere.toml", "."])
def test_a_file_that_cannot_be_read_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        apply_settings_file(GIVEN, tmp_path / name)
