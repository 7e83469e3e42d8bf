"""The config.pbtxt of a bundle on Triton's Python backend."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ...runtime.engines.opening import ENGINE_PROVIDERS
from ...runtime.engines.providers import PROVIDERS
from ...runtime.errors import UsageError
from ...runtime.triton.tensors import INPUTS, OUTPUTS, TensorSpec

MOST_WAITING = 64
CHOICES = (*PROVIDERS, *ENGINE_PROVIDERS)
# Where `config_text` writes what was asked for; spaces may have been changed by hand.
_STRING = r'"\s*,?\s*value:?\s*\{\s*string_value:\s*"([^"]*)"'
_PATTERNS = {
    "provider": r'key:\s*"provider' + _STRING,
    "instances": r"\bcount:\s*([1-9][0-9]*)",
    "batch": r"\bmax_batch_size:\s*([1-9][0-9]*)",
    "site": r'key:\s*"site' + _STRING,
}
# What a parameter's text in quotes would need escapes for.
_REFUSED = '"\\\n\r'


@dataclass(frozen=True)
class TritonOptions:
    """What config.pbtxt says; None: as it says already, else the default.

    Attributes:
        provider: what runs the networks, see `Inspector.load`; "cpu" by default.
        instances: processes that serve a product side by side; 1 by default.
        batch: how many requests go through the line graph together, at most; 8 by default.
        site: folders with the packages, separated as $PATH is; empty, the default: $CMDIAD_TRITON_SITE names them.
    """

    provider: str | None = None
    instances: int | None = None
    batch: int | None = None
    site: str | None = None

    def __post_init__(self) -> None:
        """Refuse what the file could not say.

        Raises:
            UsageError: a number is below 1, a text has quotes, backslashes or line breaks, or there is no such
                provider.
        """
        for name in ("instances", "batch"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise UsageError(f"--triton-{name} {number}: must be at least 1")
        for name in ("provider", "site"):
            text = getattr(self, name) or ""
            if any(letter in text for letter in _REFUSED):
                raise UsageError(f"--triton-{name} {text!r}: no quotes, backslashes or line breaks can be in it")
        if self.provider is not None and self.provider not in CHOICES:
            raise UsageError(f"--triton-provider {self.provider!r}: choose one of {', '.join(CHOICES)}")

    def over(self, text: str) -> TritonOptions:
        """With what a config.pbtxt says in place of whatever was not given.

        Args:
            text: of a config.pbtxt; values not found there stay as they are.
        """
        instances, batch = _found("instances", text), _found("batch", text)
        return TritonOptions(
            provider=_found("provider", text) if self.provider is None else self.provider,
            instances=int(instances) if self.instances is None and instances else self.instances,
            batch=int(batch) if self.batch is None and batch else self.batch,
            site=_found("site", text) if self.site is None else self.site,
        )


def config_text(name: str, options: TritonOptions) -> str:
    """The file's text.

    Requests of one part each, whose scans may differ in size (`allow_ragged_batch`), are put together by Triton's
    dynamic batcher, which needs `max_batch_size`; with 0 it would be off. Nothing is delayed for a batch: what came
    while the one before was inspected is the next.

    Args:
        name: of the model: its folder.
        options: what was asked for.
    """
    provider = options.provider or "cpu"
    parameters = {"provider": provider, "graph": "auto", **({"site": options.site} if options.site else {})}
    kind = "KIND_CPU" if provider == "cpu" else "KIND_GPU, gpus: [ 0 ]"
    return "\n".join(
        [
            "# Written by `cmdiad export --triton`. docs/triton.md says what may be changed here.",
            f'name: "{name}"',
            'backend: "python"',
            f"max_batch_size: {options.batch or 8}",
            *_tensors("input", INPUTS, ", optional: true, allow_ragged_batch: true"),
            *_tensors("output", OUTPUTS, ""),
            f"instance_group [ {{ count: {options.instances or 1}, kind: {kind} }} ]",
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


def _found(name: str, text: str) -> str | None:
    match = re.search(_PATTERNS[name], text)
    return None if match is None else match.group(1)


def _tensors(kind: str, specs: Iterable[TensorSpec], more: str) -> list[str]:
    lines = []
    for spec in specs:
        dims = ", ".join(map(str, spec.dims))
        lines.append(f'{kind} [ {{ name: "{spec.name}", data_type: {spec.type}, dims: [ {dims} ]{more} }} ]')
    return lines
