"""What this machine can run: hardware, driver, packages, execution providers, and a bundle's engines on it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...version import __version__
from ..bundle.manifest import TensorRTEngine
from ..bundle.reading import Bundle, require_calibration
from ..engines.flavor import FLAVORS, import_flavor
from ..engines.machine import Machine, this_machine
from ..engines.opening import ENGINE_PROVIDERS
from ..engines.plan_check import check_engine, require_gpu
from ..engines.providers import PROVIDERS
from ..engines.session import OnnxSession, unknown_provider
from ..errors import BundleError, CmdiadError, EngineError
from ..threads import usable_processors

LINE_PACKAGES = ("numpy", "scipy", "tifffile", "imagecodecs", "pillow", "msgspec")
ONNX_RUNTIMES = ("onnxruntime", "onnxruntime-gpu")
_PLUGINS = [provider.plugin for provider in PROVIDERS.values() if provider.plugin is not None]
GPU_PACKAGES = (*_PLUGINS, *FLAVORS, "polygraphy")
# The workstation's, with the extra of `cmdiad` that brings each.
WORKSTATION_PACKAGES: Mapping[str, str] = {
    **dict.fromkeys(("scikit-learn", "onnx"), "calibrate"),
    **dict.fromkeys(("torch", "torchvision", "timm", "safetensors", "onnxscript", "scikit-image"), "train"),
}

# y = x @ x for x of (2, 2) float32, opset 13: a network that no provider can refuse
# (tests/runtime/acceptance/test_doctor.py).
PROBE = bytes.fromhex(
    "08083a440a110a01780a017812017922064d61744d756c120570726f62655a130a0178120e0a0c080112080a0208020a0208"
    "0262130a0179120e0a0c080112080a0208020a02080242040a00100d"
)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        topic: machine, package, provider, bundle or engine.
        name: of the thing.
        ok: whether it is there and works; None where that is neither good nor bad.
        detail: what was found, or what to do.
    """

    topic: str
    name: str
    ok: bool | None
    detail: str


@dataclass(frozen=True)
class Diagnosis:
    """All findings, in order."""

    machine: Machine
    findings: list[Finding]

    def available(self, provider: str) -> Finding:
        """The finding about a provider.

        Raises:
            EngineError: there is no provider of this name.
        """
        for finding in self.findings:
            if (finding.topic, finding.name) == ("provider", provider):
                return finding
        raise unknown_provider(provider, [*PROVIDERS, *ENGINE_PROVIDERS])

    def as_json(self) -> dict[str, Any]:
        """The documented object of `doctor --json`."""
        return asdict(self)


def examine(bundle: Bundle | None, packages: Mapping[str, str] | None = None) -> Diagnosis:
    """Look at everything that decides whether a bundle runs here; providers are tried, not asked.

    Args:
        bundle: verified; None: only the machine is looked at.
        packages: what the command needs besides the line's packages, with the extra of `cmdiad` that brings each.
    """
    machine = this_machine()
    findings = [*_machine(machine), *_packages(packages or {}), *_providers(machine)]
    if bundle is not None:
        findings += _bundle(bundle, machine)
    return Diagnosis(machine, findings)


def _machine(machine: Machine) -> Iterator[Finding]:
    yield Finding("machine", "cmdiad", None, __version__)
    yield Finding("machine", "python", None, platform.python_version())
    yield Finding("machine", "platform", None, f"{machine.platform}, {usable_processors()} processors")
    cuda = f"{machine.cuda_driver // 1000}.{machine.cuda_driver % 1000 // 10}"
    driver = f"{machine.driver or 'unknown'}, for CUDA up to {cuda}" if machine.cuda_driver else "none found"
    yield Finding("machine", "NVIDIA driver", None, driver)
    for number, gpu in enumerate(machine.gpus):
        yield Finding("machine", f"GPU {number}", None, f"{gpu.name}, {gpu.target}, {gpu.memory_bytes >> 20} MiB")
    if not machine.gpus:
        yield Finding("machine", "GPU", None, "none found: networks run on the CPU")


def _packages(extras: Mapping[str, str]) -> Iterator[Finding]:
    for name in (*LINE_PACKAGES, *extras):
        version = installed_version(name)
        wanted = f"'cmdiad[{extras[name]}]'" if name in extras else name
        yield Finding("package", name, version is not None, version or f"missing: pip install {wanted}")
    runtimes = {name: version for name in ONNX_RUNTIMES if (version := installed_version(name)) is not None}
    for name, version in runtimes.items():
        yield Finding("package", name, len(runtimes) == 1, version)
    if not runtimes:
        yield Finding("package", ONNX_RUNTIMES[0], False, "missing: pip install 'cmdiad[cpu]' (or 'cmdiad[gpu]')")
    if len(runtimes) > 1:
        todo = "both own the same folder: uninstall both, then install exactly one"
        yield Finding("package", " and ".join(runtimes), False, todo)
    for name in GPU_PACKAGES:
        yield Finding("package", name, None, installed_version(name) or "not installed")


def _providers(machine: Machine) -> Iterator[Finding]:
    for name in PROVIDERS:
        problem = _provider_problem(name)
        yield Finding("provider", name, problem is None, problem or "runs networks by ONNX Runtime")
    for name in ENGINE_PROVIDERS:
        problem = _engine_problem(name, machine)
        yield Finding("provider", name, problem is None, problem or "runs the bundle's own engines")


def _provider_problem(provider: str) -> str | None:
    """Why an execution provider does not run a small network here; None if it does."""
    try:
        OnnxSession(PROBE, provider, threads=1).run({"x": np.eye(2, dtype=np.float32)})
    except CmdiadError as error:
        return str(error)
    return None


def _engine_problem(provider: str, machine: Machine) -> str | None:
    """Why serialized engines of a flavor cannot run here; None if they can."""
    flavor = FLAVORS[ENGINE_PROVIDERS[provider]]
    try:
        import_flavor(flavor)
        require_gpu(machine, flavor.name)
    except EngineError as error:
        return str(error)
    installed = importlib.util.find_spec("polygraphy") is not None
    return None if installed else f"Polygraphy is not installed: {flavor.install}"


def _bundle(bundle: Bundle, machine: Machine) -> Iterator[Finding]:
    manifest = bundle.manifest
    yield Finding(
        "bundle", str(bundle.path), True, f"{manifest.product}, {manifest.route}, {manifest.precision}, verified"
    )
    try:
        require_calibration(bundle)
        yield Finding("bundle", "calibration", True, "calibrated")
    except BundleError as error:
        yield Finding("bundle", "calibration", False, str(error).removeprefix(f"{bundle.path}: "))
    for engine in manifest.engines:
        problem = _refusal(bundle, engine, machine)
        yield Finding("engine", engine.file, problem is None, problem or "belongs to this bundle and machine")


def _refusal(bundle: Bundle, engine: TensorRTEngine, machine: Machine) -> str | None:
    try:
        trt = import_flavor(FLAVORS[engine.flavor])
        check_engine(bundle, engine, bundle.read(engine.file), trt.__version__, machine)
    except CmdiadError as error:
        return str(error)
    return None


def installed_version(package: str) -> str | None:
    """A package's version; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
