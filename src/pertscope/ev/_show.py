"""The registry of metrics, for people."""

from __future__ import annotations

import pandas as pd

from pertscope._core.messages import nearest
from pertscope.ev._compat import CELL_EVAL, PERTURBENCH
from pertscope.ev._metrics import FAMILIES, better


def show(family: str | None = None) -> None:
    """Print every metric: direction, limits, what it needs, its source and its other names.

    Parameters
    ----------
    family
        Only those of one function, such as ``"rank_metrics"``.

    Raises
    ------
    ValueError
        If there is no such function.

    Examples
    --------
    >>> import pertscope as ps
    >>> ps.ev.show("collapse_metrics")  # doctest: +ELLIPSIS
                            better    limits needs      one value per ...
    """
    if family is not None and family not in FAMILIES:
        raise ValueError(f"unknown family {family!r}; {nearest(family, FAMILIES)}.")
    for name in FAMILIES if family is None else [family]:
        print(_table(name).to_string())
        print()


def _table(family: str) -> pd.DataFrame:
    rows = {}
    for name, metric in FAMILIES[family].items():
        low, high = metric.limits
        rows[name] = {
            "better": better(name),
            "limits": f"{low:g}..{high:g}",
            "needs": metric.needs,
            "one value per": {"context": "covariates", "all": "split"}.get(
                metric.level, metric.level
            ),
            "cell-eval": _other(CELL_EVAL, name),
            "PerturBench": _other(PERTURBENCH, name),
            "reference": metric.reference,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(f"ps.ev.{family}")


def _other(tool: dict[str, tuple[str, str]], name: str) -> str:
    return ", ".join(theirs for theirs, (ours, _) in tool.items() if ours == name)
