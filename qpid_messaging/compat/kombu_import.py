"""Sees to it that whoever imports Kombu's transport for Qpid gets one that works: that of `kombu.py`."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder, SourceFileLoader
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec

__all__ = ["TRANSPORT", "repair_kombu"]

TRANSPORT = "kombu.transport.qpid"


def repair_kombu() -> None:
    """Repair Kombu's module, or have that done when it is imported."""
    module = sys.modules.get(TRANSPORT)
    if module is not None:
        # It is just importing us.
        module.__class__ = _RepairedModule
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _RepairedModule(ModuleType):
    """Kombu's module, from outside. What is looked up in the module itself is its own, as it were."""

    # Properties go before what the module has: it is not executed to its end when it gets them.

    @property
    def Channel(self) -> Any:  # noqa: N802
        return self._repaired().Channel

    @property
    def Connection(self) -> Any:  # noqa: N802
        return self._repaired().Connection

    @property
    def Transport(self) -> Any:  # noqa: N802
        return self._repaired().Transport

    def _repaired(self) -> ModuleType:
        from . import kombu  # noqa: PLC0415 - it needs Kombu

        return kombu


class _Finder(MetaPathFinder):
    """Finds the module where it is, and repairs it once it is loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != TRANSPORT:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        module.__class__ = _RepairedModule
