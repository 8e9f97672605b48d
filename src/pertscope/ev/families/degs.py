"""Differentially expressed genes (DEGs) of the prediction against those of the observation.

The statistic of these metrics is the test that finds the genes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.deg_labels import deg_labels, macro_f1_per_condition, macro_f1_per_gene
from pertscope._core.statistics import is_rounding
from pertscope.ev import _deg_agreement as agreement
from pertscope.ev._batch_labels import MAJORITY, labels_by_batches
from pertscope.ev._deg_curves import evidence, pr_auc, roc_auc
from pertscope.ev._gene_tests import GENE_TESTS, gene_test
from pertscope.ev._metric import ANY, CORRELATION, SHARE, Metric

if TYPE_CHECKING:
    from collections.abc import Callable

    from pertscope.ev._comparison import Comparison
    from pertscope.ev._deg_agreement import GeneOrder
    from pertscope.ev._side import Side

CELL_EVAL = "Arc Institute, cell-eval"
PERTURBENCH = "Wu et al., PerturBench (2024), appendix A"
COLE = "Cole et al., Foundation Models Improve Perturbation Response Prediction, section 4.2"
TOP = (None, 50, 100, 200, 500)
"""Lengths of the lists that are compared; ``None`` is as many as are significant."""


def _tool(comparison: Comparison) -> bool:
    return comparison.options.compat == "cell-eval"


def fold(comparison: Comparison, side: Side) -> np.ndarray:
    """Change of each gene: the effect, or the fold change of cell-eval, float64 ``(p, genes)``.

    A gene left at its control and saved as float32 has no direction: its effect is 0.
    """
    if _tool(comparison):
        return side.once("fold", lambda: _single_fold(side))
    effect = comparison.values(side, "effect")
    return np.where(is_rounding(effect, side.control_moments.mean), 0.0, effect)


def _single_fold(side: Side) -> np.ndarray:
    found = agreement.fold_change(side.moments.mean, side.control_moments.mean)
    return found.astype(np.float32)


def significant(comparison: Comparison, side: Side, method: str) -> np.ndarray:
    """Genes with an adjusted p-value below alpha, bool ``(p, genes)``."""
    p = gene_test(side, method).p_adjusted
    return agreement.is_significant(p, comparison.options.alpha, single=_tool(comparison))


def _order(comparison: Comparison, side: Side, method: str) -> GeneOrder:
    """Significant genes from the strongest; by score, in cell-eval by fold change."""

    def compute() -> GeneOrder:
        among = significant(comparison, side, method)
        if _tool(comparison):
            key = np.abs(fold(comparison, side))
            return agreement.rank_genes(key, among, ties="first")
        return agreement.rank_genes(np.abs(gene_test(side, method).score), among)

    return side.once(("order", method), compute)


def _evidence(comparison: Comparison, method: str) -> GeneOrder:
    side = comparison.predicted

    def compute() -> GeneOrder:
        key = evidence(gene_test(side, method).p_adjusted, single=_tool(comparison))
        return agreement.rank_genes(key, np.ones(key.shape, dtype=bool))

    return side.once(("evidence", method), compute)


def _overlap(k: int | None, denominator: str) -> Callable[[Comparison, str], np.ndarray]:
    def metric(comparison: Comparison, method: str) -> np.ndarray:
        return agreement.top_overlap(
            _order(comparison, comparison.predicted, method),
            _order(comparison, comparison.observed, method),
            k,
            denominator=denominator,
            empty=0.0 if _tool(comparison) else np.nan,
        )

    return metric


def _recall_at(k: int) -> Callable[[Comparison, str], np.ndarray]:
    def metric(comparison: Comparison, method: str) -> np.ndarray:
        a, b = (gene_test(s, method).score for s in (comparison.predicted, comparison.observed))
        return agreement.deg_recall(a, b, min(k, a.shape[1]))

    return metric


def _direction_match(comparison: Comparison, method: str) -> np.ndarray:
    a, b = (fold(comparison, s) for s in (comparison.predicted, comparison.observed))
    return agreement.direction_match(a, b, significant(comparison, comparison.observed, method))


def _fold_spearman(comparison: Comparison, method: str) -> np.ndarray:
    a, b = (fold(comparison, s) for s in (comparison.predicted, comparison.observed))
    return agreement.fold_spearman(a, b, significant(comparison, comparison.observed, method))


def _significant_recall(comparison: Comparison, method: str) -> np.ndarray:
    return agreement.significant_recall(
        significant(comparison, comparison.predicted, method),
        significant(comparison, comparison.observed, method),
    )


def _pr_auc(comparison: Comparison, method: str) -> np.ndarray:
    truth = significant(comparison, comparison.observed, method)
    return pr_auc(_evidence(comparison, method), truth)


def _roc_auc(comparison: Comparison, method: str) -> np.ndarray:
    truth = significant(comparison, comparison.observed, method)
    return roc_auc(_evidence(comparison, method), truth)


def _number(which: str) -> Callable[[Comparison, str], np.ndarray]:
    def metric(comparison: Comparison, method: str) -> np.ndarray:
        found = significant(comparison, getattr(comparison, which), method)
        return np.count_nonzero(found, axis=1).astype(np.float64)

    return metric


def _count_spearman(comparison: Comparison, method: str) -> np.ndarray:
    a, b = (_number(which)(comparison, method) for which in ("predicted", "observed"))
    compat = "cell-eval" if _tool(comparison) else None
    return np.array(
        [agreement.count_spearman(a[i], b[i], compat=compat) for i in comparison.contexts]
    )


def _labels(comparison: Comparison, method: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of the prediction and of the observation, and the conditions that have both."""
    sides = comparison.predicted, comparison.observed
    if comparison.options.deg_labels == MAJORITY:
        (a, known_a), (b, known_b) = (labels_by_batches(comparison, s, method) for s in sides)
        return a, b, known_a & known_b
    tests = (gene_test(side, method) for side in sides)
    a, b = (deg_labels(t.score, t.p_adjusted, comparison.options.alpha) for t in tests)
    return a, b, np.ones(len(comparison), dtype=bool)


def _f1(comparison: Comparison, method: str) -> np.ndarray:
    a, b, known = _labels(comparison, method)
    return np.where(known, macro_f1_per_condition(a, b), np.nan)


def _gene_f1(comparison: Comparison, method: str) -> np.ndarray:
    a, b, known = _labels(comparison, method)
    contexts = [i[known[i]] for i in comparison.contexts]
    return np.array([macro_f1_per_gene(a[i], b[i]).mean() for i in contexts])


def _metric(
    function: Callable[[Comparison, str], np.ndarray],
    reference: str = CELL_EVAL,
    *,
    higher_is_better: bool | None = True,
    limits: tuple[float, float] = SHARE,
    level: str = "condition",
    half_depth: str = "",
) -> Metric:
    return Metric(
        function,
        GENE_TESTS,
        higher_is_better,
        limits,
        "means",
        reference,
        level=level,
        half_depth=half_depth,
    )


METRICS: dict[str, Metric] = {
    **{f"deg_recall_at_{k}": _metric(_recall_at(k), PERTURBENCH) for k in (20, 50)},
    **{f"overlap_at_{k or 'N'}": _metric(_overlap(k, "observed")) for k in TOP},
    **{f"precision_at_{k or 'N'}": _metric(_overlap(k, "predicted")) for k in TOP},
    "direction_match": _metric(_direction_match),
    "fold_spearman": _metric(_fold_spearman, limits=CORRELATION, half_depth="spearman-brown"),
    "significant_recall": _metric(_significant_recall),
    "pr_auc": _metric(_pr_auc),
    "roc_auc": _metric(_roc_auc),
    "n_significant_predicted": _metric(_number("predicted"), higher_is_better=None, limits=ANY),
    "n_significant_observed": _metric(_number("observed"), higher_is_better=None, limits=ANY),
    "count_spearman": _metric(
        _count_spearman, limits=CORRELATION, level="context", half_depth="spearman-brown"
    ),
    "deg_f1": _metric(_f1, COLE),
    "deg_f1_per_gene": _metric(_gene_f1, COLE, level="context"),
}
