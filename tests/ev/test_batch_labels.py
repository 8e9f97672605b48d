"""DEG labels by the majority of batches: against SciPy, and where batches shift the pooled ones."""

from __future__ import annotations

import warnings
from collections import Counter

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import false_discovery_control, ttest_ind
from sklearn.metrics import f1_score
from tests.ev.worlds import table_of

import pertscope as ps
from pertscope.ev._batch_labels import MAJORITY

N_GENES = 12
F1 = ["deg_f1", "deg_f1_per_gene"]


def shifted_screen(seed: int = 0, *, n_few: int = 0) -> ad.AnnData:
    """Three batches, one far above the others and rich in perturbed cells.

    Perturbation p changes genes p, p + 1 up and p + 2 down, nothing else. With `n_few`, p3 has so
    many cells in every batch.
    """
    rng = np.random.default_rng(seed)
    parts, rows = [], []
    for batch, (shift, n_cells, n_controls) in enumerate([(0, 40, 90), (0, 40, 90), (4, 80, 40)]):
        for i in range(-1, 4):
            n = n_controls if i < 0 else n_few if n_few and i == 3 else n_cells
            mean = np.full(N_GENES, 5.0) + shift
            if i >= 0:
                mean[[i, i + 1]] += 2
                mean[i + 2] -= 2
            parts.append(rng.normal(mean, 1, (n, N_GENES)))
            rows += [("control" if i < 0 else f"p{i}", f"b{batch}")] * n
    obs = pd.DataFrame(rows, columns=["perturbation", "batch"], dtype="category")
    obs.index = [f"cell{i}" for i in range(len(obs))]
    var = pd.DataFrame(index=[f"g{j}" for j in range(N_GENES)])
    adata = ad.AnnData(np.maximum(np.concatenate(parts), 0).astype(np.float32), obs=obs, var=var)
    ps.pp.register(adata, batch_key="batch")
    return adata


def true_effects() -> np.ndarray:
    effects = np.zeros((4, N_GENES))
    for i in range(4):
        effects[i, [i, i + 1]], effects[i, i + 2] = 2, -2
    return effects


def with_effects(adata: ad.AnnData, effects: np.ndarray, name: str = "told") -> ad.AnnData:
    """A prediction of these effects on the mean of all controls."""
    x = adata.X[(adata.obs["perturbation"] == "control").to_numpy()]
    obs = pd.DataFrame({"perturbation": [f"p{i}" for i in range(4)]}, index=list("abcd"))
    means = np.asarray(x, np.float64).mean(axis=0) + effects
    ps.pp.add_prediction(adata, ad.AnnData(means, obs=obs, var=adata.var[[]]), name)
    return adata


def labels_by_hand(adata: ad.AnnData, min_cells: int = 30) -> dict[str, list[int]]:
    """Labels of every condition, by SciPy and by counting votes."""
    x = np.asarray(adata.X, np.float64)
    label, batch = (adata.obs[k].astype(str).to_numpy() for k in ("perturbation", "batch"))
    found = {}
    for p in sorted(set(label) - {"control"}):
        votes = []
        for b in sorted(set(batch)):
            cells, control = (x[(label == name) & (batch == b)] for name in (p, "control"))
            if min(len(cells), len(control)) < min_cells:
                continue
            test = ttest_ind(cells, control, equal_var=False)
            significant = false_discovery_control(test.pvalue) < 0.05
            votes.append(np.where(significant, np.sign(test.statistic), 0).astype(int))
        if votes:
            found[p] = [_winner(gene) for gene in np.transpose(votes).tolist()]
    return found


def _winner(votes: list[int]) -> int:
    counts = Counter(votes)
    top = {label for label, n in counts.items() if n == max(counts.values())}
    return 0 if {-1, 1} <= top else (top - {0} or {0}).pop()


def f1_of(adata: ad.AnnData, **options) -> pd.Series:
    """F1 of every perturbation, and under "(all)" that of the genes."""
    ps.ev.deg_metrics(adata, metrics=F1, split=None, **options)
    return table_of(adata, "deg_metrics").set_index("perturbation")["value"]


def macro_f1(said: np.ndarray, true: np.ndarray) -> float:
    return float(f1_score(true, said, labels=np.unique(true), average="macro"))


def test_labels_are_those_of_scipy_and_a_count_of_votes() -> None:
    """The prediction's labels are plain, so that its F1 tells those of the observation."""
    adata = shifted_screen()
    true = labels_by_hand(adata)
    told = np.sign(true_effects()).astype(int)
    told[0, :3], told[1] = [-1, 0, 0], 0  # wrong on purpose
    with_effects(adata, 3.0 * told)
    got = f1_of(adata, deg_labels=MAJORITY)
    observed = np.array([true[f"p{i}"] for i in range(4)])
    for i in range(4):
        assert got[f"p{i}"] == pytest.approx(macro_f1(told[i], observed[i]), abs=1e-12)
    genes = [macro_f1(told[:, g], observed[:, g]) for g in range(N_GENES)]
    assert got["(all)"] == pytest.approx(np.mean(genes), abs=1e-12)


def test_pooled_labels_are_wrong_where_a_batch_is_shifted() -> None:
    """Perturbed cells are mostly in the high batch: pooled, genes without an effect seem up."""
    adata = with_effects(shifted_screen(), true_effects())
    one_batch = adata.copy()
    one_batch.obs["batch"] = "all"
    wrong, right = (np.array(list(labels_by_hand(a).values())) for a in (one_batch, adata))
    np.testing.assert_array_equal(right, np.sign(true_effects()))
    assert (wrong[true_effects() == 0] == 1).all()
    pooled, majority = f1_of(adata), f1_of(adata, deg_labels=MAJORITY)
    assert (majority == 1).all()
    assert (pooled < 0.7).all()
    np.testing.assert_array_equal(f1_of(adata, deg_labels="pooled"), pooled)


def test_predicted_cells_keep_their_variance_and_not_their_number() -> None:
    """Effects as large as those of the truth, of cells that vary too much to tell."""
    adata = shifted_screen()
    base = np.asarray(adata.X)[(adata.obs["perturbation"] == "control").to_numpy()].mean(axis=0)
    obs = pd.DataFrame({"perturbation": np.repeat([f"p{i}" for i in range(4)], 400)})
    obs.index = obs.index.astype(str)
    noise = np.random.default_rng(0).normal(0, 1, (1600, N_GENES))
    noise -= noise.reshape(4, 400, -1).mean(axis=1).repeat(400, axis=0)
    for name, spread in (("calm", 1.0), ("wild", 40.0)):
        x = base + true_effects().repeat(400, axis=0) + spread * noise
        ps.pp.add_prediction(adata, ad.AnnData(x, obs=obs.copy(), var=adata.var[[]]), name)
    ps.ev.deg_metrics(adata, metrics=["deg_f1"], split=None, deg_labels=MAJORITY)
    value = table_of(adata, "deg_metrics").groupby("prediction")["value"].mean()
    assert value["calm"] > 0.9
    # nothing is called: the F1 of unchanged genes over three labels, 2 * 9 / (12 + 9) / 3
    assert value["wild"] == pytest.approx(2 * 9 / 21 / 3, abs=0.02)


def test_conditions_without_enough_cells_are_named_and_not_scored() -> None:
    adata = with_effects(shifted_screen(n_few=20), true_effects())
    with pytest.warns(UserWarning, match=r"1 condition\(s\) do not have 30 cells.*unknown: 'p3'"):
        got = f1_of(adata, deg_labels=MAJORITY)
    assert got.isna().to_dict() == {
        "p0": False,
        "p1": False,
        "p2": False,
        "p3": True,
        "(all)": False,
    }
    true = labels_by_hand(adata)
    assert list(true) == ["p0", "p1", "p2"]
    told = np.sign(true_effects()).astype(int)
    genes = [macro_f1(told[:3, g], np.array([true[p][g] for p in true])) for g in range(N_GENES)]
    assert got["(all)"] == pytest.approx(np.mean(genes), abs=1e-12)
    assert not f1_of(adata, deg_labels=MAJORITY, min_cells=20).isna().any()
    with pytest.raises(ValueError, match="no condition has 200 cells, and as many controls"):
        f1_of(adata, deg_labels=MAJORITY, min_cells=200)


@pytest.mark.parametrize("ceiling", ["split-half", "bootstrap", "hierarchical-bootstrap"])
def test_evaluate_gives_floors_and_ceilings_of_the_same_labels(ceiling) -> None:
    adata = with_effects(shifted_screen(), true_effects())
    names = [f"{m}_t-test" for m in F1]
    ps.ev.evaluate(adata, metrics=names, split=None, deg_labels=MAJORITY, ceiling=ceiling)
    table = table_of(adata)
    alone = f1_of(adata, deg_labels=MAJORITY)
    got = table.set_index("perturbation")["value"]
    pd.testing.assert_series_equal(got.sort_index(), alone.sort_index())
    assert (table["floor"] < 0.7).all()
    # a batch that is drawn twice finds too much: its cells are not independent
    lowest = 0.15 if ceiling == "hierarchical-bootstrap" else 0.3
    assert (table["ceiling"] - table["floor"] > lowest).all()


def test_sparse_cells_have_the_same_labels() -> None:
    adata = with_effects(shifted_screen(), true_effects())
    dense = f1_of(adata, deg_labels=MAJORITY)
    adata.X = sp.csr_matrix(adata.X)
    np.testing.assert_array_equal(f1_of(adata, deg_labels=MAJORITY), dense)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"deg_labels": "majority"}, r"`deg_labels`='majority' must be one of \('pooled', 'batch-"),
        ({"deg_labels": MAJORITY, "method": "wilcoxon"}, r"one of the tests .*not by 'wilcoxon'"),
        ({"deg_labels": MAJORITY, "min_cells": 1}, "`min_cells`=1 must be at least 2"),
    ],
)
def test_refusals(options, match) -> None:
    adata = with_effects(shifted_screen(), true_effects())
    with pytest.raises(ValueError, match=match):
        f1_of(adata, **options)
    assert "deg_metrics" not in adata.uns


@pytest.mark.parametrize("function", [ps.ev.deg_metrics, ps.ev.evaluate])
def test_a_screen_without_batches_is_refused(function) -> None:
    adata = with_effects(shifted_screen(), true_effects())
    ps.pp.register(adata)
    with pytest.raises(ValueError, match="the screen has none: register it with `batch_key"):
        function(adata, split=None, deg_labels=MAJORITY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert f1_of(adata).notna().all()
