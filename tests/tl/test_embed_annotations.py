"""An autoencoder of annotations."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

import pertscope as ps


@pytest.fixture(scope="module")
def annotations() -> pd.DataFrame:
    """60 genes of 4 functions, 40 terms: a function's 10 terms are annotated more often."""
    rng = np.random.default_rng(0)
    function = np.arange(60) % 4
    often = np.repeat(np.arange(4), 10) == function[:, None]
    x = rng.random((60, 40)) < np.where(often, 0.6, 0.03)
    return pd.DataFrame(x.astype(int), [f"g{i}" for i in range(60)], [f"t{j}" for j in range(40)])


def test_genes_of_a_function_lie_together(annotations):
    table = ps.tl.embed_annotations(annotations, 8, n_hidden=32, lr=5e-3, accelerator="cpu")
    assert table.shape == (60, 8)
    assert set(table.dtypes) == {np.dtype(np.float32)}
    x = table.to_numpy(np.float64)
    distance = ((x[:, None] - x) ** 2).sum(axis=2) + 1e9 * np.eye(60)
    assert (distance.argmin(axis=1) % 4 == np.arange(60) % 4).mean() > 0.9


def test_same_seed_same_bytes_and_no_trace(annotations, tmp_path):
    settings = {"n_hidden": 8, "max_epochs": 3, "accelerator": "cpu"}
    before = torch.get_rng_state()
    one = ps.tl.embed_annotations(annotations, 4, **settings)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(8)
    annotations.to_csv(tmp_path / "terms.csv")
    frames = ad.AnnData(annotations.astype(np.float32)), tmp_path / "terms.csv"
    for same in frames:
        again = ps.tl.embed_annotations(same, 4, **settings)
        assert one.to_numpy().tobytes() == again.to_numpy().tobytes()
    assert not np.array_equal(one, ps.tl.embed_annotations(annotations, 4, seed=1, **settings))


def test_genes_without_a_term_get_no_row(annotations):
    more = annotations.copy()
    more.loc["silent"] = 0
    settings = {"n_hidden": 8, "max_epochs": 2, "accelerator": "cpu"}
    with pytest.warns(UserWarning, match=r"1 name\(s\) get no row, they have no term: 'silent'"):
        table = ps.tl.embed_annotations(more, 4, **settings)
    pd.testing.assert_frame_equal(table, ps.tl.embed_annotations(annotations, 4, **settings))


@pytest.mark.parametrize(
    ("change", "settings", "match"),
    [
        (lambda t: t * 2, {}, r"row\(s\) hold other values: 'g0'"),
        (lambda t: t * np.nan, {}, "NaN"),
        (lambda t: t * 0, {}, r"0 gene\(s\) have a term"),
        (lambda t: pd.concat([t, t.iloc[:1]]), {}, "more than once: 'g0'"),
        (lambda t: t, {"n_dims": 0}, "`n_dims`=0"),
        (lambda t: t, {"n_hidden": 0}, "`n_hidden`=0"),
        (lambda t: t, {"lr": -1.0}, "`lr`=-1.0"),
        (lambda t: t, {"patience": 0}, "`patience`=0"),
    ],
)
def test_refuses(annotations, change, settings, match):
    with pytest.raises(ValueError, match=match):
        ps.tl.embed_annotations(change(annotations), **settings)
