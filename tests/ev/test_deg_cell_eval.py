"""Agreement on differentially expressed genes: number by number against cell-eval."""

from __future__ import annotations

import itertools

import anndata as ad
import numpy as np
import pandas as pd
from scipy.stats import mannwhitneyu
from tests.ev.cell_eval import run_cell_eval
from tests.helpers import dense

from pertscope._core.gene_test import adjust_p_values
from pertscope.ev._deg_agreement import (
    count_spearman,
    direction_match,
    fold_change,
    fold_spearman,
    is_significant,
    rank_genes,
    significant_recall,
    top_overlap,
)
from pertscope.ev._deg_curves import evidence, pr_auc, roc_auc

KS = (None, 50, 100, 200, 500)


def gene_tests(adata) -> tuple[np.ndarray, np.ndarray]:
    """Fold changes and adjusted p-values of sorted conditions, by SciPy."""
    labels = adata.obs["condition"].astype(str)
    control = dense(adata.X[(labels == "control").to_numpy()])
    fold, p_value = [], []
    for label in sorted(set(labels) - {"control"}):
        cells = dense(adata.X[(labels == label).to_numpy()])
        fold.append(fold_change(cells.mean(axis=0), control.mean(axis=0)))
        with np.errstate(invalid="ignore", divide="ignore"):
            p = mannwhitneyu(cells, control, axis=0, method="asymptotic").pvalue
        p_value.append(np.clip(np.nan_to_num(p, nan=1), 0, 1))
    return np.array(fold), adjust_p_values(np.array(p_value))


def scores(predicted, observed, *, ties: str) -> pd.DataFrame:
    """All metrics in cell-eval's conventions, from folds and adjusted p-values."""
    (p_fold, p_adj), (o_fold, o_adj) = predicted, observed
    p_fold, o_fold = p_fold.astype(np.float32), o_fold.astype(np.float32)
    p_sig, o_sig = (is_significant(q, single=True) for q in (p_adj, o_adj))
    p, o = (
        rank_genes(np.abs(p_fold), p_sig, ties=ties),
        rank_genes(np.abs(o_fold), o_sig, ties=ties),
    )
    table = {}
    for name, side in (("overlap", "observed"), ("precision", "predicted")):
        for k in KS:
            table[f"{name}_at_{k or 'N'}"] = top_overlap(p, o, k, denominator=side, empty=0)
    by_evidence = rank_genes(evidence(p_adj, single=True), np.ones_like(p_sig))
    table |= {
        "de_spearman_sig": count_spearman(p.number, o.number, compat="cell-eval"),
        "de_direction_match": direction_match(p_fold, o_fold, o_sig),
        "de_spearman_lfc_sig": fold_spearman(p_fold, o_fold, o_sig),
        "de_sig_genes_recall": significant_recall(p_sig, o_sig),
        "de_nsig_counts_real": o.number,
        "de_nsig_counts_pred": p.number,
        "pr_auc": pr_auc(by_evidence, o_sig),
        "roc_auc": roc_auc(by_evidence, o_sig),
    }
    return pd.DataFrame(table).astype(float)


def pair_of(adata, *, strong: bool):
    """Observed and predicted cells of K562; against controls of another line if `strong`.

    Predicted cells are half the condition's own and half another's; predicted controls are half
    of the observed.
    """
    rng = np.random.default_rng(0)
    here = (adata.obs["cell_type"] == "k562").to_numpy()
    control = (adata.obs["condition"] == "control").to_numpy()
    source = (adata.obs["cell_type"] == "T98G").to_numpy() if strong else here
    observed = adata[(here & ~control) | (source & control)].copy()
    labels = observed.obs["condition"].astype(str).to_numpy()
    names = sorted(set(labels) - {"control"})
    rows, named = [], []
    for name, other in zip(names, rng.permutation(names), strict=True):
        for source, n in ((name, 40), (other, 40)):
            rows.append(rng.choice(np.flatnonzero(labels == source), n, replace=False))
            named += [name] * n
    rows.append(rng.choice(np.flatnonzero(labels == "control"), 50, replace=False))
    named += ["control"] * 50
    obs = pd.DataFrame({"condition": named}, index=[f"cell{i}" for i in range(len(named))])
    return ad.AnnData(observed.X[np.concatenate(rows)], obs=obs, var=observed.var[[]]), observed


def test_cell_eval_on_cells(devel) -> None:
    """End to end, cell-eval's own tests of genes included; at most 20 genes are tied."""
    predicted, observed = pair_of(devel, strong=False)
    want = run_cell_eval(
        predicted, observed, perturbation_key="condition", control="control", profile="de"
    )
    got = scores(gene_tests(predicted), gene_tests(observed), ties="first")
    assert set(got) == set(want)
    assert want.nunique().drop("de_spearman_sig").gt(3).all(), "a metric hardly varies"
    compare(got, want, list(want))


def compare(got: pd.DataFrame, want: pd.DataFrame, names: list[str]) -> None:
    for name in names:
        np.testing.assert_allclose(got[name], want[name], rtol=0, atol=1e-6, err_msg=name)


def as_table(fold: np.ndarray, p_adjusted: np.ndarray) -> pd.DataFrame:
    names = [f"p{i:03d}" for i in range(len(fold))], [f"g{j:04d}" for j in range(fold.shape[1])]
    table = pd.DataFrame(itertools.product(*names), columns=["target", "feature"])
    flat = {"log2_fold_change": fold, "p_value": p_adjusted, "fdr": p_adjusted}
    return table.assign(**{name: a.ravel() for name, a in flat.items()})


def of_tests(devel, predicted, observed) -> pd.DataFrame:
    """cell-eval's scores of given folds and adjusted p-values."""
    cells = devel[:2].copy()  # it wants cells, though metrics of tests never look at them
    cells.obs["condition"] = ["control", "p000"]
    return run_cell_eval(
        cells,
        cells,
        perturbation_key="condition",
        control="control",
        profile="de",
        predicted_tests=as_table(*predicted),
        observed_tests=as_table(*observed),
    )


def test_cell_eval_with_hundreds_of_significant_genes(devel) -> None:
    """All equal without ties; its order of many infinite folds is arbitrary, and within bounds."""
    predicted, observed = map(gene_tests, pair_of(devel, strong=True))
    for fold, p_adjusted in (predicted, observed):
        assert np.count_nonzero(np.isinf(fold) & (p_adjusted < 0.05), axis=1).max() > 20
    tied, rng = of_tests(devel, predicted, observed), np.random.default_rng(0)
    finite = [
        (np.where(np.isinf(f), np.sign(f) * (100 + rng.random(f.shape)), f), q)
        for f, q in (predicted, observed)
    ]
    untied = of_tests(devel, *finite)
    assert tied["de_nsig_counts_real"].min() > 100
    compare(scores(*finite, ties="expected"), untied, list(untied))
    compare(scores(*finite, ties="first"), untied, list(untied))
    of_order = [name for name in tied if name.startswith(("overlap", "precision"))]
    got = scores(predicted, observed, ties="expected")
    compare(got, tied, [name for name in tied if name not in of_order])
    p, o = (
        rank_genes(np.abs(f).astype(np.float32), is_significant(q, single=True))
        for f, q in (predicted, observed)
    )
    for name in of_order:
        measure, k = name.split("_at_")
        number = (o if measure == "overlap" else p).number
        top = number if k == "N" else np.minimum(number, int(k))
        a, b = p.in_top(top), o.in_top(top)
        low = ((a == 1) & (b == 1)).sum(axis=1) / top
        high = np.minimum(((a > 0) & (b > 0)).sum(axis=1) / top, 1)
        assert (low - 1e-9 <= tied[name]).all(), name
        assert (tied[name] <= high + 1e-9).all(), name
        decided = ((a % 1 == 0) & (b % 1 == 0)).all(axis=1)
        np.testing.assert_allclose(got[name][decided], tied[name][decided], atol=1e-9)


def test_cell_eval_with_few_tied_genes(devel, rng) -> None:
    """Up to 20 significant genes, the first of the tied comes first."""
    fold = rng.integers(-2, 3, (2, 40, 60)).astype(float)
    fold[fold == 2] = np.inf
    p_adjusted = rng.uniform(0.05, 1, fold.shape)
    for c in range(40):
        for side in (0, 1):
            few = rng.choice(60, rng.integers(0, 21), replace=False)
            p_adjusted[side, c, few] = rng.choice([0, 1e-11, 0.01, 0.04], len(few))
    sides = list(zip(fold, p_adjusted, strict=True))
    want = of_tests(devel, *sides).reindex([f"p{c:03d}" for c in range(40)])
    compare(scores(*sides, ties="first"), want, list(want))
    shared = scores(*sides, ties="expected")["overlap_at_N"].to_numpy()
    assert (np.abs(shared - want["overlap_at_N"]) > 0.01).any(), "no tie matters"
