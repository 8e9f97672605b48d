"""Perturbation screens on AnnData and MuData.

A screen is registered once with ``ps.pp.register``; every other function then knows which column is
the perturbation, which label is the control and which columns are covariates and batches.

Namespaces are imported on first use, so that ``import pertscope`` costs next to nothing.

Examples
--------
>>> import pertscope as ps
>>> "pp" in dir(ps)
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from pertscope._version import __version__

if TYPE_CHECKING:
    from types import ModuleType

    from pertscope import bench, datasets, ev, get, models, pl, pp, tl

__all__ = ["__version__", "bench", "datasets", "ev", "get", "models", "pl", "pp", "tl"]

_NAMESPACES = frozenset(__all__) - {"__version__"}


def __getattr__(name: str) -> ModuleType:
    if name in _NAMESPACES:
        return import_module(f"{__name__}.{name}")  # also sets the attribute: asked only once
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
