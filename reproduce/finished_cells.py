"""Finished cells of a long reproduction, kept in one file each, so that a stopped reproduction goes on where it was."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from ..calibration.evaluation.outcomes import ClassOutcome, Row
from ..runtime.errors import UsageError
from ..runtime.files.atomic import atomic_write_bytes
from ..runtime.files.json_encoding import decode_json, encode_json, encode_json_file
from .paper_tables import Experiment


class FinishedCell(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment on one class: what the tables show of it.

    Attributes:
        key: of all that it depends on, see `CellStore.key`.
        experiment: what was run, in words.
        row: its metrics.
        milliseconds: by stage, and `total`.
        bank_bytes: of the memory banks.
        n_missed, n_defective, n_rejected, n_good: the test parts at the calibrated threshold.
    """

    key: str
    experiment: str
    row: Row
    milliseconds: dict[str, float]
    bank_bytes: int
    n_missed: int
    n_defective: int
    n_rejected: int
    n_good: int


class CellStore:
    """The finished cells in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "cells"

    @staticmethod
    def key(experiment: Experiment, class_name: str, circumstances: object) -> str:
        """What tells cells apart: the experiment, the class, and what else changes its figures.

        Args:
            experiment: what is run.
            class_name: on which class.
            circumstances: digests of weights and scans, settings, version: what JSON holds.
        """
        return hashlib.sha256(encode_json([experiment, class_name, circumstances], order="sorted")).hexdigest()[:24]

    def find(self, key: str) -> FinishedCell | None:
        """The finished cell; None where it was not run yet.

        Raises:
            UsageError: its file was changed.
        """
        path = self._folder / f"{key}.json"
        if not path.is_file():
            return None
        try:
            cell = decode_json(path.read_bytes(), FinishedCell)
        except msgspec.MsgspecError as cause:
            raise UsageError(f"{path}: is not a finished cell ({cause}): remove it, and it is run again") from cause
        if cell.key != key:
            raise UsageError(f"{path}: holds another cell, {cell.key}: remove it, and it is run again")
        return cell

    def keep(self, key: str, experiment: Experiment, outcome: ClassOutcome) -> FinishedCell:
        """Write a finished cell, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        counts = outcome.verdicts
        cell = FinishedCell(
            key=key,
            experiment=str(experiment),
            row=outcome.row,
            milliseconds=outcome.milliseconds,
            bank_bytes=outcome.bank_bytes,
            n_missed=counts.misses,
            n_defective=counts.n_defective,
            n_rejected=counts.false_rejects,
            n_good=counts.n_good,
        )
        atomic_write_bytes(self._folder / f"{key}.json", encode_json_file(cell))
        return cell
