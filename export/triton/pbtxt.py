"""The config.pbtxt of a bundle on Triton's Python backend."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...runtime.errors import UsageError
from ...runtime.triton.tensors import INPUTS, OUTPUTS, TensorSpec

MOST_WAITING = 64
# What a parameter's text in quotes would need escapes for.
_REFUSED = '"\\\n\r'


@dataclass(frozen=True)
class TritonOptions:
    """What config.pbtxt says.

    Attributes:
        provider: what runs the networks, see `Inspector.load`.
        instances: processes that serve a product side by side.
        batch: how many requests go through the line graph together, at most.
        site: folders with the packages, separated as $PATH is; None: $CMDIAD_TRITON_SITE names them.
    """

    provider: str = "cpu"
    instances: int = 1
    batch: int = 8
    site: str | None = None

    def __post_init__(self) -> None:
        """Refuse what the file could not say.

        Raises:
            UsageError: a number is below 1, or a text has quotes, backslashes or line breaks.
        """
        for name in ("instances", "batch"):
            if getattr(self, name) < 1:
                raise UsageError(f"--triton-{name} {getattr(self, name)}: must be at least 1")
        for name in ("provider", "site"):
            text = getattr(self, name) or ""
            if any(letter in text for letter in _REFUSED):
                raise UsageError(f"--triton-{name} {text!r}: no quotes, backslashes or line breaks can be in it")


def config_text(name: str, options: TritonOptions) -> str:
    """The file's text.

    Requests of one part each, whose scans may differ in size (`allow_ragged_batch`), are put together by Triton's
    dynamic batcher, which needs `max_batch_size`; with 0 it would be off. Nothing is delayed for a batch: what came
    while the one before was inspected is the next.

    Args:
        name: of the model: its folder.
        options: what was asked for.
    """
    parameters = {"provider": options.provider, "graph": "auto", **({"site": options.site} if options.site else {})}
    kind = "KIND_CPU" if options.provider == "cpu" else "KIND_GPU, gpus: [ 0 ]"
    return "\n".join(
        [
            "# Written by `cmdiad export --triton`. docs/triton.md says what may be changed here.",
            f'name: "{name}"',
            'backend: "python"',
            f"max_batch_size: {options.batch}",
            *_tensors("input", INPUTS, ", optional: true, allow_ragged_batch: true"),
            *_tensors("output", OUTPUTS, ""),
            f"instance_group [ {{ count: {options.instances}, kind: {kind} }} ]",
            "dynamic_batching {",
            f"  default_queue_policy {{ max_queue_size: {MOST_WAITING} }}",
            "}",
            "version_policy: { latest { num_versions: 1 } }",
            *(
                f'parameters {{ key: "{key}", value: {{ string_value: "{text}" }} }}'
                for key, text in parameters.items()
            ),
            "",
        ]
    )


def _tensors(kind: str, specs: Iterable[TensorSpec], more: str) -> list[str]:
    lines = []
    for spec in specs:
        dims = ", ".join(map(str, spec.dims))
        lines.append(f'{kind} [ {{ name: "{spec.name}", data_type: {spec.type}, dims: [ {dims} ]{more} }} ]')
    return lines
