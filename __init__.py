"""cmdiad: cross-modal-distillation anomaly detection, from the workstation to the production line."""

from typing import Any

from .version import __version__

__all__ = ["Inspection", "Inspector", "__version__"]


def __getattr__(name: str) -> Any:
    """Load the two runtime classes on first use, so that `import cmdiad` costs nothing."""
    if name in ("Inspector", "Inspection"):
        from .runtime import inspector

        return getattr(inspector, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
