"""A trained route becomes a bundle. The package is also the function `cmdiad.export`.

Importing anything in here makes the name `cmdiad.export` this package, so the package itself can be called.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..runtime.bundle.manifest import Manifest


class CallableRoom(ModuleType):
    """The type of this package: calling it calls `python_export.export`."""

    def __call__(self, *arguments: Any, **settings: Any) -> Manifest:
        """See `cmdiad.export.python_export.export`."""
        from .python_export import export

        return export(*arguments, **settings)


sys.modules[__name__].__class__ = CallableRoom
