"""Screens of effects and of DEG labels: against NumPy and SciPy, and functions work on them."""

from __future__ import annotations

from collections import Counter

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import false_discovery_control, ttest_ind
from tests.helpers import dense, fingerprint, make_screen, refused

import pertscope as ps

LABELS = ["A", "B", "C", "A+B"]


def batched(n_cells: int = 9, **keys) -> ad.AnnData:
    adata = make_screen(LABELS, n_cells=n_cells, n_controls=14, **keys)
    ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")
    return adata


def cells(adata, context: str, label: str, batch: str | None = None) -> np.ndarray:
    chosen = (adata.obs["cell_type"] == context) & (adata.obs["perturbation"] == label)
    if batch is not None:
        chosen &= adata.obs["batch"] == batch
    return dense(adata.X)[chosen.to_numpy()]


def ba_ate(adata, context: str, label: str, size: str) -> np.ndarray:
    x, x_0 = ({b: cells(adata, context, p, b) for b in ("b0", "b1")} for p in (label, "control"))
    x, x_0 = ({b: v.mean(axis=0) for b, v in d.items() if len(v)} for d in (x, x_0))
    if size == "small":
        return np.mean(list(x.values()), axis=0) - np.mean(list(x_0.values()), axis=0)
    return np.mean([x[b] - x_0[b] for b in x.keys() & x_0.keys()], axis=0)


@pytest.mark.parametrize("size", ["small", "large", "auto"])
def test_batch_adjusted(size) -> None:
    adata = batched()
    before = fingerprint(adata)
    got = ps.tl.effects(adata, batch_size=size)
    assert fingerprint(adata) == before
    assert got.X.dtype == np.float32
    for context in "xyz":
        assert not got[f"{context}|control"].X.any()
        for label in LABELS:  # nine cells: small batches
            want = ba_ate(adata, context, label, "small" if size == "auto" else size)
            np.testing.assert_allclose(got[f"{context}|{label}"].X[0], want, atol=1e-6)


@pytest.mark.parametrize("statistic", [None, "effect", "logfc"])
def test_without_batches(statistic) -> None:
    adata = make_screen(LABELS)
    got = ps.tl.effects(adata, statistic=statistic)
    for label in LABELS:
        x, x_0 = (cells(adata, "y", p).mean(axis=0) for p in (label, "control"))
        want = np.log2(x + 0.1) - np.log2(x_0 + 0.1) if statistic == "logfc" else x - x_0
        np.testing.assert_allclose(got[f"y|{label}"].X[0], want, atol=1e-6)


def test_it_is_a_screen(tmp_path) -> None:
    adata = batched()
    adata.var["symbol"] = list("abcde")
    table = pd.DataFrame(np.eye(3), index=list("ABC"))
    ps.pp.add_perturbation_embedding(adata, table, "e")
    made = ps.tl.effects(adata)
    made.write_h5ad(tmp_path / "effects.h5ad")
    made = ad.read_h5ad(tmp_path / "effects.h5ad")
    assert made.obs_names.tolist() == [
        f"{c}|{p}" for c in "xyz" for p in sorted([*LABELS, "control"])
    ]
    assert made.obs.columns.tolist() == ["cell_type", "perturbation", "n_cells"]
    assert made.obs["n_cells"].to_dict() == {
        name: len(cells(adata, *name.split("|"))) for name in made.obs_names
    }
    assert made.var["symbol"].tolist() == list("abcde")
    assert list(made.uns["pertscope"]["perturbation_embeddings"]) == ["e"]
    screen = ps.get.screen(made).screen
    assert screen.covariate_keys == ("cell_type",)
    assert screen.batch_key is None
    wanted = made[made.obs["perturbation"] != "control"]
    np.testing.assert_allclose(ps.get.effects(made).to_numpy(), wanted.X, atol=1e-7)
    assert fingerprint(ps.tl.effects(made).X) == fingerprint(made.X)


def test_bulk() -> None:
    """Wells of z-scores: negative values, plates as batches, doses that are averaged."""
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "compound": ["DMSO", "DMSO", "a/b", "a/b+c", "DMSO", "a/b", "a/b+c"],
            "plate": [*"PPPPQQQ"],
            "dose": [0.0, 0, 1, 1, 0, 2, 2],
        },
        index=[f"well{i}" for i in range(7)],
    )
    x = rng.normal(size=(7, 3)).astype(np.float32)
    adata = ad.AnnData(x, obs=obs)
    keys = {"perturbation_key": "compound", "control": "DMSO", "combination_separator": None}
    ps.pp.register(adata, batch_key="plate", dose_key="dose", **keys)
    got = ps.tl.effects(adata, batch_size="large")
    want = ((x[2] - x[:2].mean(axis=0)) + (x[5] - x[4])) / 2
    np.testing.assert_allclose(got["a/b"].X[0], want, atol=1e-6)
    assert ps.get.screen(got).n_combinations == 0


@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
def test_on_disk(form, tmp_path) -> None:
    adata = batched()
    want = ps.tl.effects(adata), ps.tl.deg_labels(adata, min_cells=2)
    adata.X = {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "dense": dense}[form](adata.X)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    got = ps.tl.effects(backed), ps.tl.deg_labels(backed, min_cells=2)
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one.X, other.X, atol=1e-6)


def test_what_is_left_out() -> None:
    adata = batched()
    few = (adata.obs["cell_type"] == "x") & (adata.obs["perturbation"] == "A")
    adata = adata[~few | (np.cumsum(few) <= 2)].copy()
    with pytest.warns(UserWarning, match=r"1 of 12 condition\(s\) do not have 5 cells.*'x\|A'"):
        got = ps.tl.effects(adata, min_cells=5)
    assert "x|A" not in got.obs_names
    np.testing.assert_allclose(got["x|B"].X[0], ba_ate(adata, "x", "B", "small"), atol=1e-6)
    with refused(adata, ValueError, "no condition has 50 cells"):
        ps.tl.effects(adata, min_cells=50)
    alone = adata.copy()
    of_b = (alone.obs["perturbation"] == "B") & (alone.obs["cell_type"] == "x")
    alone.obs["batch"] = alone.obs["batch"].astype(object).where(~of_b, "b2")
    with pytest.warns(UserWarning, match=r"1 of 12 .* cells and controls in one batch.*'x\|B'"):
        assert "x|B" not in ps.tl.effects(alone, batch_size="large").obs_names


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"statistic": "median"}, "`statistic`='median' must be one of"),
        ({"statistic": "ba_ate"}, "register the screen's `batch_key`"),
        ({"min_cells": 0}, "`min_cells`=0 must be positive"),
    ],
)
def test_refusals(arguments, match) -> None:
    adata = make_screen(LABELS)
    with refused(adata, ValueError, match):
        ps.tl.effects(adata, **arguments)


def voted(adata, context: str, label: str, batches, min_cells: int) -> list[int]:
    votes = []
    for b in batches:
        found, control = cells(adata, context, label, b), cells(adata, context, "control", b)
        if min(len(found), len(control)) < min_cells:
            continue
        test = ttest_ind(found, control, equal_var=False)
        significant = false_discovery_control(test.pvalue) < 0.2
        votes.append(np.where(significant, np.sign(test.statistic), 0).astype(int))
    return [_winner(gene) for gene in np.transpose(votes).tolist()]


def _winner(votes: list[int]) -> int:
    counts = Counter(votes)
    top = {label for label, n in counts.items() if n == max(counts.values())}
    return 0 if {-1, 1} <= top else (top - {0} or {0}).pop()


@pytest.mark.parametrize(
    ("key", "by"), [("batch", "batches"), ("batch", "pooled"), (None, "batches")]
)
def test_labels(key, by) -> None:
    adata = batched(n_cells=12, n_genes=30)
    x = dense(adata.X)
    x[adata.obs["perturbation"].to_numpy() == "A", :9] += 1.0
    x[(adata.obs["batch"] == "b1").to_numpy(), 9:14] += 2.0
    adata.X = x
    ps.pp.register(adata, covariate_keys=["cell_type"], batch_key=key)
    got = ps.tl.deg_labels(adata, by=by, min_cells=2, fdr=0.2)
    batches = ["b0", "b1"] if key and by == "batches" else [None]
    assert got.X.dtype == np.int8
    assert {-1, 0, 1} >= set(np.unique(got.X)) >= {0, 1}
    for context in "xyz":
        for label in LABELS:
            want = voted(adata, context, label, batches, 2)
            assert got[f"{context}|{label}"].X[0].tolist() == want


def test_labels_that_cannot_be() -> None:
    adata = batched(n_cells=9)
    few = (adata.obs["cell_type"] == "x") & (adata.obs["perturbation"] == "A")
    adata = adata[~few | (np.cumsum(few) <= 2)].copy()
    with pytest.warns(UserWarning, match=r"1 of 12 .* do not have 3 cells, and as many.*'x\|A'"):
        assert "x|A" not in ps.tl.deg_labels(adata, min_cells=3).obs_names
    in_one = r"30 cells, and as many controls, in one batch \(by='pooled' takes all batches"
    with refused(adata, ValueError, f"no condition has {in_one}"):
        ps.tl.deg_labels(adata)
    with refused(adata, ValueError, r"no condition has 30 cells, and as many controls\."):
        ps.tl.deg_labels(adata, by="pooled")
    for arguments, match in (
        ({"test": "wilcoxon"}, "`test`='wilcoxon' must be one of"),
        ({"by": "plates"}, "`by`='plates' must be one of"),
        ({"min_cells": 1}, "must be at least 2"),
        ({"fdr": 1.0}, "must lie between 0 and 1"),
    ):
        with refused(adata, ValueError, match):
            ps.tl.deg_labels(adata, **arguments)


def test_pooled_labels_of_small_batches() -> None:
    adata = batched(n_cells=9)
    of_b = ((adata.obs["cell_type"] == "x") & (adata.obs["perturbation"] == "B")).to_numpy()
    batch = adata.obs["batch"].to_numpy(str).astype(object)
    batch[of_b] = [f"b{i % 3}" for i in range(9)]  # three cells in each
    adata.obs["batch"] = batch
    with pytest.warns(UserWarning, match=r"1 of 12 .* 4 cells.* \(by='pooled' .*: 'x\|B'"):
        lacking = ps.tl.deg_labels(adata, min_cells=4)
    pooled = ps.tl.deg_labels(adata, min_cells=4, by="pooled")
    assert set(pooled.obs_names) - set(lacking.obs_names) == {"x|B"}


def test_the_controls_are_kept_beside_their_zeros(tmp_path) -> None:
    adata = batched()
    for made in (ps.tl.effects(adata), ps.tl.effects(ps.tl.effects(adata))):
        made.write_h5ad(tmp_path / "effects.h5ad")
        kept = ad.read_h5ad(tmp_path / "effects.h5ad")[:, 1:4]
        mean = dense(kept.layers["control_mean"])
        for name, row in zip(kept.obs_names, mean, strict=True):
            context, label = name.split("|")
            want = cells(adata, context, "control").mean(axis=0)[1:4]
            np.testing.assert_allclose(row, want if label == "control" else 0, atol=1e-6)
        assert kept.layers["control_mean"].dtype == np.float32
        assert sp.issparse(kept.layers["control_mean"])
    labels = ps.tl.deg_labels(adata, min_cells=2)
    assert dense(labels["x|control"].layers["control_mean"]).any()


@pytest.mark.parametrize("layer", [None, "counts"])
def test_counts_are_refused(layer) -> None:
    adata = make_screen(LABELS, counts=True, register=False)
    adata.layers["counts"] = adata.X.copy()
    ps.pp.register(adata, covariate_keys=["cell_type"], layer=layer)
    for function in (ps.tl.effects, ps.tl.deg_labels):
        with refused(adata, ValueError, f"integer counts, `{function.__name__}` needs log-norm"):
            function(adata)
