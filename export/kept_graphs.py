"""Graphs of earlier exports, in the user's cache: torch takes seconds for each, and routes, products and commands share
their extractors.

A graph is found again by everything that it is made from: weights, structure, code and the versions of the exporter.
The parity gate compares it with torch as if it were new.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..runtime.files.user_cache import keep, read_kept, user_cache
from ..version import __version__
from .graphs import OPSET, GraphSpec

MOST_BYTES = 2 << 30
_SUFFIX = ".graph"
_EXPORTERS = ("torch", "onnx", "onnxscript", "onnx-ir", "timm", "numpy")


def kept_graph(network: nn.Module, spec: GraphSpec, export: Callable[[nn.Module, GraphSpec], bytes]) -> bytes:
    """The network's graph, from the cache where it is there and whole, else exported and kept.

    A cache that cannot be written is not used; a damaged file in it is replaced.

    Args:
        network: in eval mode.
        spec: its inputs and output.
        export: `onnx_from_module`.
    """
    file = user_cache("graphs") / f"{_key(network, spec)}{_SUFFIX}"
    graph = read_kept(file)
    if graph is None:
        graph = export(network, spec)
        keep(file, graph)
        _make_room(file.parent)
    return graph


def _make_room(folder: Path) -> None:
    """Remove the oldest graphs beyond what all may take together."""
    room = MOST_BYTES
    # Another process may be removing them too.
    with suppress(OSError):
        for file in sorted(folder.glob(f"*{_SUFFIX}"), key=lambda file: file.stat().st_mtime, reverse=True):
            room -= file.stat().st_size
            if room < 0:
                file.unlink(missing_ok=True)


def _key(network: nn.Module, spec: GraphSpec) -> str:
    """SHA-256 of all that a graph depends on."""
    digest = hashlib.sha256()
    for part in (*_of_the_exporter(), *_of_the_spec(spec), *_of_the_structure(network)):
        digest.update(repr(part).encode())
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    for name, tensor in sorted(tensors.items()):
        digest.update(_of_a_tensor(name, tensor))
    for source in sorted(_sources(network)):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _of_the_exporter() -> Iterator[str]:
    yield f"cmdiad {__version__} opset {OPSET}"
    for package in _EXPORTERS:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            yield f"{package} is not installed"


def _of_the_spec(spec: GraphSpec) -> Iterator[tuple[Any, ...]]:
    yield ("output", spec.output)
    for name, example in spec.inputs.items():
        yield (name, tuple(example.shape), str(example.dtype), sorted(spec.dynamic[name].items()))


def _of_the_structure(network: nn.Module) -> Iterator[tuple[str, str, str]]:
    """Every module's class, and what it holds beside parameters, buffers and other modules."""
    for name, module in network.named_modules():
        kind = type(module)
        yield (name, kind.__module__, kind.__qualname__)
        for key, value in sorted(vars(module).items()):
            # `training` is off in every export, and torch's own bookkeeping begins with an underscore.
            if key != "training" and not key.startswith("_"):
                yield (name, key, _in_words(value))


def _in_words(value: object) -> str:
    if isinstance(value, Tensor):
        return hashlib.sha256(_of_a_tensor("", value)).hexdigest()
    name = getattr(value, "__qualname__", "<")
    # What a function of a function has bound is not in its name: `repr` says where it lies, so it is never found again.
    return repr(value) if "<" in name else f"{getattr(value, '__module__', '')}.{name}"


def _of_a_tensor(name: str, tensor: Tensor) -> bytes:
    values = tensor.detach().cpu().contiguous()
    content = values.flatten().view(torch.uint8).numpy().tobytes() if values.numel() else b""
    return f"{name} {values.dtype} {tuple(values.shape)}".encode() + content


def _sources(network: nn.Module) -> set[Path]:
    """The files of the network's classes and the exporter's rules, ours with all beside them; torch's go by version."""
    kinds = {type(module) for module in network.modules() if not type(module).__module__.startswith("torch.")}
    files = {kind: inspect.getsourcefile(kind) for kind in (*kinds, GraphSpec)}
    package = __name__.partition(".")[0]
    sources: set[Path] = set()
    for kind, file in files.items():
        if file is not None:
            is_ours = kind.__module__.partition(".")[0] == package
            sources.update(Path(file).parent.glob("*.py") if is_ours else [Path(file)])
    return sources
