"""The registry of metrics, and their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope._core.messages import nearest
from pertscope.ev._compat import COMPAT_STATISTIC, TOOLS
from pertscope.ev.families import collapse, degs, distributions, errors, labels, ranks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pertscope.ev._metric import Metric

FAMILIES: dict[str, dict[str, Metric]] = {
    "error_metrics": errors.METRICS,
    "rank_metrics": ranks.METRICS,
    "collapse_metrics": collapse.METRICS,
    "distribution_metrics": distributions.METRICS,
    "deg_metrics": degs.METRICS,
    "label_metrics": labels.METRICS,
}
"""Metrics of each family, by the name of the function that computes it."""

METRICS: dict[str, Metric] = {k: m for family in FAMILIES.values() for k, m in family.items()}


def full_names() -> dict[str, tuple[str, str]]:
    """``{"rmse_mean": ("rmse", "mean"), ...}``: every metric on every statistic that it takes."""
    return {f"{k}_{s}": (k, s) for k, metric in METRICS.items() for s in metric.statistics}


def parse(names: Sequence[str]) -> list[tuple[str, str]]:
    """Metric and statistic of names such as ``"rmse_mean"``.

    Raises
    ------
    TypeError
        If `names` is one string.
    ValueError
        If there is no such metric; the nearest names are given.
    """
    if isinstance(names, str):
        raise TypeError(f"`metrics` takes a list: [{names!r}].")
    known = full_names()
    for name in names:
        if name not in known:
            hint = ""
            if name in METRICS:
                hint = f" Say on which statistic: '{name}_{METRICS[name].statistics[0]}'."
            raise ValueError(f"unknown metric {name!r}; {nearest(name, known)}.{hint}")
    return [known[name] for name in names]


def check_names(names: Sequence[str], family: str) -> None:
    """Refuse names that are no metrics of a family."""
    if isinstance(names, str):
        raise TypeError(f"`metrics` takes a list: [{names!r}].")
    for name in names:
        if name not in FAMILIES[family]:
            raise ValueError(f"unknown metric {name!r}; {nearest(name, FAMILIES[family])}.")


def pairs(metrics: Iterable[str], statistics: Iterable[str]) -> list[tuple[str, str]]:
    """Every metric on every one of the statistics that it can be taken on."""
    metrics = list(metrics)
    return [(m, s) for s in statistics for m in metrics if s in METRICS[m].statistics]


def better(metric: str) -> str:
    """Direction of a metric: ``"higher"``, ``"lower"``, or, of a diagnosis, ``"neither"``."""
    return {True: "higher", False: "lower", None: "neither"}[METRICS[metric].higher_is_better]


def higher_is_better(name: str) -> bool | None:
    """Direction of ``<metric>_<statistic>``, ours or a tool's."""
    known = full_names()
    for tool in TOOLS.values():
        known |= {f"{metric}_{COMPAT_STATISTIC}": c for metric, c in tool.items()}
    return METRICS[known[name][0]].higher_is_better
