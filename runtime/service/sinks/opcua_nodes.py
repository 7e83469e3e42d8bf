"""What a client of the OPC UA server sees: the object `InspectionLine`, in the spirit of OPC 40100-1 (Machine Vision).

Nodes have names for identifiers (`ns=2;s=InspectionLine.LastResult.Number`), so that a controller's program keeps its
addresses over every start.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ...files.json_encoding import encode_json
from ..arrival import PartRecord

if TYPE_CHECKING:
    from asyncua import Node, Server

NAMESPACE = "urn:cmdiad:inspection-line"
_LINE = "InspectionLine"
# Names and types as of `asyncua.ua.VariantType`; the number comes last, when all that belongs to it is there.
_RESULT_FIELDS = {
    "PartId": "String",
    "Scan": "String",
    "Product": "String",
    "Verdict": "String",
    "Score": "Double",
    "Threshold": "Double",
    "IsDefect": "Boolean",
    "FinishedAt": "DateTime",
    "Json": "String",
    "Number": "Int64",
}
_LINE_FIELDS = {"State": "String", "Message": "String"}
# Before the first result; OPC UA counts time from 1601, and nothing is good yet.
_NOTHING = {"String": "", "Double": math.nan, "Boolean": True, "DateTime": datetime(1601, 1, 1, tzinfo=UTC), "Int64": 0}

Method = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class LineMethods:
    """What clients may call, as asyncua calls it: the object's node, then one variant an argument.

    Attributes:
        results_since: (Number, Limit) to (Numbers, Verdicts, Results, IsMore).
        inspect: (FileName, PartId, Product) to (Number, Verdict, Score, Threshold, Message).
    """

    results_since: Method
    inspect: Method


def result_fields(record: PartRecord) -> dict[str, Any]:
    """What the variables of a result say of a record, in the order of writing.

    A score that there is none of is NaN. `IsDefect` is true for an error as well: what was not inspected is not good.

    Example:
        >>> result_fields(record)["IsDefect"]  # doctest: +SKIP
        False
    """
    return {
        "PartId": record.part_id or "",
        "Scan": record.scan,
        "Product": record.product or "",
        "Verdict": record.verdict,
        "Score": figure(record.score),
        "Threshold": figure(record.threshold),
        "IsDefect": record.verdict != "good",
        "FinishedAt": datetime.fromtimestamp(record.finished_at, UTC),
        "Json": encode_json(record).decode(),
        "Number": record.number,
    }


def figure(value: float | None) -> float:
    """A number for a client that knows no null."""
    return math.nan if value is None else value


class LineNodes:
    """The nodes of one server, once they are added."""

    def __init__(self, variables: dict[str, Node], event: Any) -> None:
        """Nodes that `add_nodes` made."""
        self._variables, self._event = variables, event

    async def show(self, record: PartRecord) -> None:
        """Write a result into `LastResult`, and tell it as an event."""
        fields = result_fields(record)
        await self._write("LastResult.", _RESULT_FIELDS, fields)
        for name, kind in _RESULT_FIELDS.items():
            setattr(self._event.event, name, _variant(fields[name], kind))
        await self._event.trigger(message=f"part {record.number} is {record.verdict}")

    async def recall(self, record: PartRecord) -> None:
        """Write a result that is told already: the last of the run before."""
        await self._write("LastResult.", _RESULT_FIELDS, result_fields(record))

    async def tell(self, state: str, message: str) -> None:
        """Write how the line is."""
        await self._write("", _LINE_FIELDS, {"Message": message, "State": state})

    async def _write(self, prefix: str, kinds: dict[str, str], values: dict[str, Any]) -> None:
        for name, value in values.items():
            await self._variables[prefix + name].write_value(_variant(value, kinds[name]))


async def add_nodes(server: Server, methods: LineMethods) -> LineNodes:
    """Add the object `InspectionLine` to a server that is initialized."""
    from asyncua import ua

    index = await server.register_namespace(NAMESPACE)

    def names(path: str) -> tuple[Any, Any]:
        return ua.NodeId(path, index), ua.QualifiedName(path.rsplit(".", 1)[-1], index)

    line = await server.nodes.objects.add_object(*names(_LINE))
    last = await line.add_object(*names(f"{_LINE}.LastResult"))
    variables = {}
    for parent, prefix, kinds in ((line, "", _LINE_FIELDS), (last, "LastResult.", _RESULT_FIELDS)):
        for name, kind in kinds.items():
            variables[prefix + name] = await parent.add_variable(
                *names(f"{_LINE}.{prefix}{name}"), _NOTHING[kind], getattr(ua.VariantType, kind)
            )
    await _add_methods(line, names, methods)
    event_type = await server.nodes.base_event_type.add_object_type(*names("ResultReadyEventType"))
    for name, kind in _RESULT_FIELDS.items():
        await event_type.add_property(
            *names(f"ResultReadyEventType.{name}"), _NOTHING[kind], getattr(ua.VariantType, kind)
        )
    nodes = LineNodes(variables, await server.get_event_generator(event_type, emitting_node=line.nodeid))
    await nodes.tell("starting", "")
    return nodes


async def _add_methods(line: Node, names: Callable[[str], tuple[Any, Any]], methods: LineMethods) -> None:
    await line.add_method(
        *names(f"{_LINE}.ResultsSince"),
        methods.results_since,
        [_argument("Number", "Int64"), _argument("Limit", "Int32")],
        [
            _argument("Numbers", "Int64", is_list=True),
            _argument("Verdicts", "String", is_list=True),
            _argument("Results", "String", is_list=True),
            _argument("IsMore", "Boolean"),
        ],
    )
    await line.add_method(
        *names(f"{_LINE}.Inspect"),
        methods.inspect,
        [_argument(name, "String") for name in ("FileName", "PartId", "Product")],
        [
            _argument("Number", "Int64"),
            _argument("Verdict", "String"),
            _argument("Score", "Double"),
            _argument("Threshold", "Double"),
            _argument("Message", "String"),
        ],
    )


def _argument(name: str, kind: str, is_list: bool = False) -> Any:
    from asyncua import ua

    rank = ua.ValueRank.OneDimension if is_list else ua.ValueRank.Scalar
    data_type = ua.NodeId(getattr(ua.ObjectIds, kind))
    return ua.Argument(Name=name, DataType=data_type, ValueRank=rank, ArrayDimensions=[0] if is_list else [])


def _variant(value: Any, kind: str) -> Any:
    from asyncua import ua

    return ua.Variant(value, getattr(ua.VariantType, kind))
