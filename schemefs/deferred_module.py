"""A module that is imported when it is first used: what most mounts never need must not make each of them start later.

if TYPE_CHECKING:
    import dpkt
else:
    dpkt = DeferredModule(globals(), "dpkt", "dpkt")
"""

from __future__ import annotations

import importlib


class DeferredModule:
    """Stands for a module in the globals of another one. The first attribute imports it and takes its place."""

    def __init__(self, namespace: dict[str, object], name: str, module: str, *submodules: str) -> None:
        """Defer the import of *module*, which *namespace* has as *name*, and of submodules."""
        self._namespace = namespace
        self._name = name
        self._modules = (module, *submodules)

    def __getattr__(self, name: str) -> object:
        """Import the modules and return an attribute of the first."""
        found, *_ = [importlib.import_module(module) for module in self._modules]
        self._namespace[self._name] = found
        return getattr(found, name)
