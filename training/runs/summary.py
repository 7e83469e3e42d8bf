"""What a finished training says of itself: how its scans were taken, what is shipped, and what to doubt."""

from __future__ import annotations

from .record import Decisions, Run


def describe_run(run: Run) -> list[str]:
    """What was decided and chosen, a line each."""
    decided = [] if run.decisions is None else _decided(run.decisions)
    return [*decided, f"weights shipped: {_shipped(run)} ({run.selection.criterion})"]


def doubts_of(run: Run) -> list[str]:
    """What should be looked at before these weights are used, a sentence each."""
    rate = run.final_learning_rate
    if rate is None or rate >= run.learning_rate:
        return []
    return [
        f"{_epochs(run.epochs)} {'are' if run.epochs > 1 else 'is'} fewer than the learning rate's warm-up takes: it "
        f"ended at {rate:g} and never reached {run.learning_rate:g}: train with more --epochs before you rely on this "
        "run"
    ]


def _decided(decisions: Decisions) -> list[str]:
    windows = [f"window of {name}: {side} pixels around the part" for name, side in decisions.windows.items()]
    return [f"plane: {decisions.plane} ({decisions.reason})", *windows]


def _shipped(run: Run) -> str:
    chosen, detection = run.selection.epochs, run.selection.detection
    if not chosen:
        return f"epoch {run.epochs} of {run.epochs}"
    if len(chosen) == 1:
        (main, epoch), *_ = chosen.items()
        return f"epoch {epoch} of {run.epochs}, detection {detection[main]:.3f}"
    directions = (f"main {main} epoch {epoch}, detection {detection[main]:.3f}" for main, epoch in chosen.items())
    return f"{'; '.join(directions)}, of {_epochs(run.epochs)}"


def _epochs(count: int) -> str:
    return f"{count} epoch{'s' * (count > 1)}"
