"""What this machine can run: hardware, driver, packages, execution providers, and a bundle's engines on it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ...version import __version__
from ..bundle.manifest import TensorRTEngine
from ..bundle.reading import Bundle, require_calibration
from ..engines.flavor import FLAVORS, Flavor, collecting_logger, import_flavor
from ..engines.gpu_wheel import ONNX_RUNTIMES, installed_runtimes
from ..engines.machine import Machine, this_machine
from ..engines.onnxruntime_import import import_onnxruntime
from ..engines.opening import ENGINE_PROVIDERS
from ..engines.plan_check import check_engine, check_validity, rebuild_command, require_gpu
from ..engines.providers import PROVIDERS, Provider, require_installed
from ..engines.session import unknown_provider
from ..errors import BundleError, CmdiadError, EngineError
from ..threads import usable_processors
from .probe import KERNELS, problem_apart, problem_here

# The dependencies of `cmdiad` itself.
LINE_PACKAGES = (
    "numpy",
    "scipy",
    "threadpoolctl",
    "tifffile",
    "imagecodecs",
    "pillow",
    "msgspec",
    "jinja2",
    "typer",
    "rich",
)
_PLUGINS = [provider.plugin for provider in PROVIDERS.values() if provider.plugin is not None]
GPU_PACKAGES = ("cuda-bindings", *_PLUGINS, *FLAVORS, "polygraphy")
# The workstation's, with the extra of `cmdiad` that brings each.
WORKSTATION_PACKAGES: Mapping[str, str] = {
    **dict.fromkeys(("scikit-learn", "onnx"), "calibrate"),
    **dict.fromkeys(("torch", "torchvision", "timm", "safetensors", "onnxscript"), "train"),
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        topic: machine, package, provider, kernels, bundle or engine.
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
            UsageError: there is no provider of this name.
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
    findings = [*_machine(machine), *_packages(packages or {}), *_providers(machine), *_kernels(machine)]
    if bundle is not None:
        findings += _bundle(bundle, machine)
    return Diagnosis(machine, findings)


def _machine(machine: Machine) -> Iterator[Finding]:
    yield Finding("machine", "cmdiad", None, __version__)
    yield Finding("machine", "python", None, platform.python_version())
    yield Finding("machine", "platform", None, f"{machine.platform}, {usable_processors()} processors")
    known = f"{machine.driver or 'unknown'}, for CUDA up to {machine.cuda_in_words()}"
    driver = known if machine.cuda_driver else "none found"
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
    runtimes = installed_runtimes()
    for name, version in runtimes.items():
        brings = f", with {ONNX_RUNTIMES[name]}" if ONNX_RUNTIMES[name] else ""
        yield Finding("package", name, len(runtimes) == 1, f"{version}{brings}")
    if not runtimes:
        yield Finding("package", "onnxruntime", False, "missing: pip install 'cmdiad[cpu]' (or 'cmdiad[gpu]')")
    if len(runtimes) > 1:
        todo = "all own the same folder: uninstall them, then install exactly one"
        yield Finding("package", " and ".join(runtimes), False, todo)
    for name in GPU_PACKAGES:
        yield Finding("package", name, None, installed_version(name) or "not installed")


def _providers(machine: Machine) -> Iterator[Finding]:
    for provider in PROVIDERS.values():
        problem = _provider_problem(provider)
        yield Finding("provider", provider.name, problem is None, problem or "runs networks with ONNX Runtime")
    for name, flavor_name in ENGINE_PROVIDERS.items():
        problem = _engine_problem(name, FLAVORS[flavor_name], machine)
        only = ", of fp16 bundles only" if machine.target in FLAVORS[flavor_name].fp16_only else ""
        yield Finding("provider", name, problem is None, problem or f"runs the bundle's own engines{only}")


def _kernels(machine: Machine) -> Iterator[Finding]:
    """Whether points are grouped on the GPU, which providers that share its memory do unasked."""
    if machine.target is None:
        yield Finding(KERNELS, "grouping", None, "no GPU: points are grouped on the CPU")
        return
    problem = problem_apart(KERNELS, machine.target)
    yield Finding(KERNELS, "grouping", problem is None, problem or "groups points on the GPU, as the CPU does")


def _provider_problem(provider: Provider) -> str | None:
    """Why an execution provider does not run a small network here; None if it does."""
    if provider.is_cpu:
        return problem_here(provider.name)
    try:
        require_installed(import_onnxruntime(), provider)
    except EngineError as error:
        return str(error)
    return problem_apart(provider.name, "")


def _engine_problem(provider: str, flavor: Flavor, machine: Machine) -> str | None:
    """Why serialized engines of a flavor cannot run here; None if a small one was built and run."""
    for package in (flavor.module, "polygraphy"):
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed: {flavor.install}"
    try:
        target = require_gpu(machine, flavor.name)
    except EngineError as error:
        return str(error)
    return problem_apart(provider, target)


def _bundle(bundle: Bundle, machine: Machine) -> Iterator[Finding]:
    manifest = bundle.manifest
    yield Finding(
        "bundle", str(bundle.path), True, f"{manifest.product}, {manifest.route}, {manifest.precision}, verified"
    )
    yield Finding("bundle", "signature", None if bundle.signature is None else True, bundle.signature_in_words())
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
        trt, plan = import_flavor(FLAVORS[engine.flavor]), bundle.read(engine.file)
        check_engine(bundle, engine, plan, trt.__version__, machine)
        command = rebuild_command(bundle, engine.flavor, machine.target or "")
        check_validity(trt, trt.Runtime(collecting_logger(trt)), engine, plan, command)
    except CmdiadError as error:
        return str(error)
    return None


def installed_version(package: str) -> str | None:
    """A package's version; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
