"""Warnings as a user reads them: one line, without the place in the code that gave them."""

from __future__ import annotations

import warnings


def say_warnings_plainly() -> None:
    """Let this process write a warning as `warning: ...`; each process of ours has to ask for it."""
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
