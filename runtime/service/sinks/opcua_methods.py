"""What the OPC UA server answers to calls: results from the journal, and inspections on demand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from ...errors import CmdiadError, ScanError, UsageError
from ...files.json_encoding import encode_json
from ..arrival import PartRecord
from ..inspecting import Answered
from ..settled_results import MOST_AT_ONCE, SettledResults
from .opcua_nodes import LineMethods, figure
from .trigger_folder import file_in

# Have the file of a path inspected, with the plant's name of the part, by a product.
Trigger = Callable[[Path, str | None, str | None], "Future[Answered]"]
# What comes of one that takes longer stands in the journal all the same.
_PATIENCE_SECONDS = 60.0
_LONGEST_TEXT = 256

_log = logging.getLogger("cmdiad.line")


class Answers:
    """The methods of `InspectionLine`; an answer that is none is a status code, and a line in the log."""

    def __init__(self, results: SettledResults, trigger: Trigger | None, folder: Path | None) -> None:
        """Answer from a journal and a line.

        Args:
            results: those of the journal.
            trigger: has a file inspected.
            folder: whose files may be inspected; with None for either, none may.
        """
        self._results, self._trigger, self._folder = results, trigger, folder

    def methods(self) -> LineMethods:
        """They, for `add_nodes`."""
        return LineMethods(self.results_since, self.inspect)

    async def results_since(self, parent: Any, *arguments: Any) -> Any:
        """The first results above a number, and whether there are more."""
        from asyncua import ua

        values = [argument.Value for argument in arguments]
        if len(values) != 2 or not all(type(value) is int for value in values):
            return _refusal("BadInvalidArgument", "ResultsSince takes a number and a limit")
        number, limit = values[0], max(1, min(values[1], MOST_AT_ONCE))
        try:
            # Not on the loop: a disk that is slow must not keep clients waiting for anything else.
            records = await asyncio.to_thread(self._results, number, limit)
        except CmdiadError as error:
            return _refusal("BadResourceUnavailable", str(error))
        return [
            ua.Variant([record.number for record in records], ua.VariantType.Int64, is_array=True),
            ua.Variant([record.verdict for record in records], ua.VariantType.String, is_array=True),
            ua.Variant([encode_json(record).decode() for record in records], ua.VariantType.String, is_array=True),
            ua.Variant(len(records) == limit, ua.VariantType.Boolean),
        ]

    async def inspect(self, parent: Any, *arguments: Any) -> Any:
        """Have a file of the trigger folder inspected, and wait for the verdict."""
        values = [argument.Value for argument in arguments]
        if len(values) != 3 or not all(value is None or _is_text(value) for value in values):
            return _refusal("BadInvalidArgument", f"Inspect takes three texts of at most {_LONGEST_TEXT} characters")
        name, part_id, product = ((value or "").strip() for value in values)
        if self._trigger is None or self._folder is None:
            return _refusal("BadNotSupported", "Inspect needs the key trigger_folder of line.toml")
        try:
            path = await asyncio.to_thread(file_in, self._folder, name)
            answer = self._trigger(path, part_id or None, product or None)
            # Shielded: a client that hangs up takes its call with it, but not the answer that the line is to give.
            answered = await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(answer)), _PATIENCE_SECONDS)
        except UsageError as error:
            return _refusal("BadInvalidArgument", str(error))
        except ScanError as error:
            return _refusal("BadNotFound", str(error))
        except TimeoutError:
            return _refusal("BadTimeout", f"{name!r} is not inspected yet: its result will come like any other")
        except CmdiadError as error:
            return _refusal("BadResourceUnavailable", str(error))
        return _verdict(answered.record)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT and value.isprintable()


def _verdict(record: PartRecord) -> list[Any]:
    from asyncua import ua

    error = record.result.get("error")
    return [
        ua.Variant(record.number, ua.VariantType.Int64),
        ua.Variant(record.verdict, ua.VariantType.String),
        ua.Variant(figure(record.score), ua.VariantType.Double),
        ua.Variant(figure(record.threshold), ua.VariantType.Double),
        ua.Variant(str(error.get("message", "")) if isinstance(error, dict) else "", ua.VariantType.String),
    ]


def _refusal(code: str, why: str) -> Any:
    from asyncua import ua

    _log.warning("opcua: a call is answered with %s: %s", code, why)
    return ua.StatusCode(getattr(ua.StatusCodes, code))
