from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.helpers import dense, fingerprint, make_screen, refused

from pertscope._core.predictions import (
    align_prediction,
    chosen_predictions,
    predicted_means,
    store_prediction,
    stored_predictions,
)
from pertscope._core.screen import Screen


@pytest.fixture
def adata() -> ad.AnnData:
    return make_screen()


def predict(adata: ad.AnnData, labels: list[str], *, kind=np.asarray, seed: int = 0) -> ad.AnnData:
    """Random prediction, one row per label, in cell type x."""
    rng = np.random.default_rng(seed)
    x = rng.random((len(labels), adata.n_vars)).astype(np.float32)
    obs = pd.DataFrame({"perturbation": labels, "cell_type": "x", "extra": 1})
    obs.index = [f"p{i}" for i in range(len(obs))]
    return ad.AnnData(kind(x), obs=obs, var=adata.var[[]].copy())


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, sp.csc_matrix])
def test_align(adata, kind) -> None:
    prediction = predict(adata, ["B", "control", "A", "B"], kind=kind)
    shuffled = prediction[:, ["g3", "g1", "g4", "g0", "g2"]].copy()
    before = fingerprint(shuffled), fingerprint(adata)
    got = align_prediction(shuffled, adata, Screen.of(adata))
    assert (fingerprint(shuffled), fingerprint(adata)) == before
    assert got.var_names.equals(adata.var_names)
    assert got.obs_names.tolist() == ["p0", "p2", "p3"]
    assert got.obs.columns.tolist() == ["cell_type", "perturbation"]
    assert got.obs["perturbation"].tolist() == ["B", "A", "B"]
    assert got.obs["perturbation"].cat.categories.tolist() == ["A", "B"]
    assert np.array_equal(dense(got.X), dense(prediction.X)[[0, 2, 3]])
    assert np.array_equal(dense(got.uns["controls"].X), dense(prediction.X)[[1]])
    got.X[0, 0] = 9
    assert fingerprint(shuffled) == before[0]


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("labels", [["B", "A", "A+B"], ["B", "A", "B", "B"]])
def test_predicted_means(adata, labels, kind) -> None:
    prediction = predict(adata, labels, kind=kind)
    conditions, means = predicted_means(prediction, Screen.of(adata))
    want = prediction.to_df().groupby(prediction.obs["perturbation"].to_numpy()).mean()
    assert conditions.labels.tolist() == want.index.tolist()
    assert means.dtype == np.float64
    np.testing.assert_allclose(means, want, rtol=1e-6)


def test_choice(adata) -> None:
    assert stored_predictions(adata) == {}
    with refused(adata, KeyError, r"holds no predictions: call a `ps\.tl\.fit_\*`"):
        chosen_predictions(adata, None)
    for name in ("linear", "bilinear"):
        store_prediction(adata, name, predict(adata, ["A"]))
    assert list(chosen_predictions(adata, None)) == ["linear", "bilinear"]
    assert list(chosen_predictions(adata, "linear")) == ["linear"]
    assert list(chosen_predictions(adata, ["bilinear", "linear"])) == ["bilinear", "linear"]
    with refused(adata, KeyError, "no prediction 'lineer'; nearest: 'linear'"):
        chosen_predictions(adata, ["linear", "lineer"])
