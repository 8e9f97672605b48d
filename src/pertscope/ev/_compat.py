"""Names that other tools have for our metrics, and what they are here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

COMPAT_STATISTIC = "compat"
"""Statistic of a score under another tool's name, which says the statistic itself."""

_TEST = "mann_whitney"
_LISTS = ("N", 50, 100, 200, 500)

CELL_EVAL: dict[str, tuple[str, str]] = {
    "pearson_delta": ("pearson", "effect"),
    "mse": ("mse", "mean"),
    "mae": ("mae", "mean"),
    "mse_delta": ("mse", "effect"),
    "mae_delta": ("mae", "effect"),
    "discrimination_score_l1": ("discrimination_score_l1", "effect"),
    "discrimination_score_l2": ("discrimination_score_l2", "effect"),
    "discrimination_score_cosine": ("discrimination_score_cosine", "effect"),
    "pearson_edistance": ("magnitude_pearson", "genes"),
    **{f"overlap_at_{k}": (f"overlap_at_{k}", _TEST) for k in _LISTS},
    **{f"precision_at_{k}": (f"precision_at_{k}", _TEST) for k in _LISTS},
    "de_spearman_sig": ("count_spearman", _TEST),
    "de_direction_match": ("direction_match", _TEST),
    "de_spearman_lfc_sig": ("fold_spearman", _TEST),
    "de_sig_genes_recall": ("significant_recall", _TEST),
    "de_nsig_counts_real": ("n_significant_observed", _TEST),
    "de_nsig_counts_pred": ("n_significant_predicted", _TEST),
    "pr_auc": ("pr_auc", _TEST),
    "roc_auc": ("roc_auc", _TEST),
    "clustering_agreement": ("clustering_agreement", "mean"),
}

PERTURBENCH: dict[str, tuple[str, str]] = {
    "rmse_average": ("rmse", "mean"),
    "cosine_logfc": ("cosine", "logfc"),
    "rmse_rank_average": ("rmse_rank", "mean"),
    "cosine_rank_logfc": ("cosine_rank", "logfc"),
    "rmse_transposed_rank_average": ("rmse_transposed_rank", "mean"),
    "cosine_transposed_rank_logfc": ("cosine_transposed_rank", "logfc"),
    "matrix_distance_logfc": ("matrix_distance", "logfc"),
    "mmd_pca": ("half_energy_distance", "pca"),
}

TOOLS: dict[str, dict[str, tuple[str, str]]] = {
    "cell-eval": CELL_EVAL,
    "perturbench": PERTURBENCH,
    "perturbench-v1": PERTURBENCH,
}
"""Metrics of each tool whose conventions `compat` follows."""


def tool_metrics(compat: str, names: Sequence[str] | None = None) -> dict[str, tuple[str, str]]:
    """Our metric and statistic for each of a tool's names, all by default.

    Raises
    ------
    TypeError
        If names are one string.
    ValueError
        If there is no such tool, or it has no such metric.
    """
    if compat not in TOOLS:
        raise ValueError(f"`compat`={compat!r} must be one of {tuple(TOOLS)}.")
    tool = TOOLS[compat]
    if isinstance(names, str):
        raise TypeError(f"`metrics` takes a list: [{names!r}].")
    unknown = [name for name in names or () if name not in tool]
    if unknown:
        raise ValueError(f"{compat} has no metric {unknown[0]!r}; it has {list(tool)}.")
    return {name: tool[name] for name in (tool if names is None else names)}
