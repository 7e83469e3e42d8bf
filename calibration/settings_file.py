"""The settings of a calibration that are given in a file and not on the command line: hardly anybody changes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ..runtime.bundle.parameters import Normalization
from ..runtime.errors import UsageError
from ..runtime.files.toml_file import read_toml
from .calibration_settings import CalibrationSettings


class MethodSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of a settings file; see `CalibrationSettings` for what they mean and their defaults."""

    normalization: Normalization | UnsetType = UNSET
    projection_eps: Annotated[float, Meta(ge=0.05, le=0.99)] | UnsetType = UNSET
    nu: Annotated[float, Meta(ge=0.01, le=1)] | UnsetType = UNSET
    svm_iterations: Annotated[int, Meta(ge=1)] | UnsetType = UNSET


def apply_settings_file(settings: CalibrationSettings, file: Path | None) -> CalibrationSettings:
    """Replace what a TOML file of `MethodSettings` names.

    Args:
        settings: of the command line.
        file: the settings file; None: nothing is replaced.

    Raises:
        UsageError: the file cannot be read, or holds an unknown key or a value that makes no sense; names both.

    Example:
        >>> apply_settings_file(CalibrationSettings(seed=7), None).nu
        0.5
    """
    if file is None:
        return settings
    content = read_toml(file)
    try:
        given = msgspec.convert(content, MethodSettings)
        return replace(settings, **msgspec.to_builtins(given))
    except msgspec.ValidationError as cause:
        keys = ", ".join(MethodSettings.__struct_fields__)
        raise UsageError(f"{file}: {cause}: settings are TOML with the keys {keys}") from cause
    except UsageError as cause:
        raise UsageError(f"{file}: {cause}") from cause
