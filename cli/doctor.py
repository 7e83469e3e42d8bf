"""`cmdiad doctor` and `cmdiad-rt doctor`: what this machine can run, and what to install for the rest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import console, line_options

if TYPE_CHECKING:
    from ..runtime.acceptance.doctor import Diagnosis

_BundleOption = Annotated[
    Path | None,
    typer.Option(help="Bundle to check against this machine.  [default: $CMDIAD_BUNDLE or ./bundle, if there is one]"),
]
_NeededOption = Annotated[
    str | None, typer.Option("--provider", help="Check this provider; exit 5 if it does not run here.")
]
_STATES = {True: "yes", False: "NO", None: ""}


def line_doctor(
    bundle: _BundleOption = None,
    require_signature: line_options.RequireSignature = None,
    provider: _NeededOption = None,
    json: line_options.Json = False,
) -> None:
    """Show what this machine can run: GPU, driver, packages, execution providers, and the bundle's engines.

    Exit codes: 0 done, 4 bad bundle, 5 the requested provider does not run here.
    """
    _examine(bundle, provider, json, workstation=False, keys=require_signature)


def workstation_doctor(
    bundle: _BundleOption = None, provider: _NeededOption = None, json: line_options.Json = False
) -> None:
    """Show what this machine can run: GPU, driver, packages for training and export, providers, a bundle's engines.

    Exit codes: 0 done, 4 bad bundle, 5 the requested provider does not run here.
    """
    _examine(bundle, provider, json, workstation=True)


def _examine(
    path: Path | None, provider: str | None, json: bool, workstation: bool, keys: list[Path] | None = None
) -> None:
    import os

    from ..runtime.acceptance.doctor import WORKSTATION_PACKAGES, examine
    from ..runtime.bundle.reading import BUNDLE_VARIABLE, DEFAULT_BUNDLE, find_bundle, open_bundle
    from ..runtime.bundle.signature import find_trusted
    from ..runtime.errors import EngineError

    there = path is not None or os.environ.get(BUNDLE_VARIABLE) or Path(DEFAULT_BUNDLE).exists()
    bundle = open_bundle(find_bundle(path), None if workstation else find_trusted(keys)) if there else None
    diagnosis = examine(bundle, WORKSTATION_PACKAGES if workstation else None)
    needed = None if provider is None else diagnosis.available(provider)
    if json:
        console.emit_json(diagnosis.as_json())
    else:
        _print(diagnosis)
    if needed is not None and not needed.ok:
        raise EngineError(needed.detail)


def _print(diagnosis: Diagnosis) -> None:
    for finding in diagnosis.findings:
        console.emit(f"{_STATES[finding.ok]:4}{finding.topic:9} {finding.name}: {finding.detail}")
