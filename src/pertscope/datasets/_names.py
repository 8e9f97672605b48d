"""Names of the public screens that can be loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope.datasets._registry import read_registry

if TYPE_CHECKING:
    from pathlib import Path


def names(*, registry: Path | str | None = None) -> list[str]:
    """Names of the public screens that :func:`~pertscope.datasets.load` fetches.

    Parameters
    ----------
    registry
        YAML file with entries of your own, in the format of the package's ``registry.yaml``;
        ``None`` is the package's.

    Returns
    -------
    The names, sorted.

    Examples
    --------
    >>> import pertscope as ps
    >>> "norman19" in ps.datasets.names()
    True
    """
    return sorted(read_registry(registry))
