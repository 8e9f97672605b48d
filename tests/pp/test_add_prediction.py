from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.helpers import dense, fingerprint, make_screen, refused

import pertscope as ps


@pytest.fixture
def adata() -> ad.AnnData:
    return make_screen(["A", "B", "A+B"])


def predict(labels: list[str], *, n_genes: int = 5, kind=sp.csr_matrix) -> ad.AnnData:
    """Prediction in cell type x, one row per label."""
    x = np.random.default_rng(1).random((len(labels), n_genes)).astype(np.float32)
    obs = pd.DataFrame({"perturbation": labels, "cell_type": "x", "model": "mine"})
    obs.index = [f"row{i}" for i in range(len(obs))]
    return ad.AnnData(kind(x), obs=obs, var=pd.DataFrame(index=[f"g{j}" for j in range(n_genes)]))


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
def test_kept_as_given(adata, kind) -> None:
    prediction = predict(["A", "B+A", "A"], kind=kind)
    before = dict(fingerprint(adata)), fingerprint(prediction)
    ps.pp.add_prediction(adata, prediction, "mine")
    after = dict(fingerprint(adata))
    assert [k for k in after if after[k] != before[0][k]] == ["uns"]
    assert fingerprint(prediction) == before[1]
    got = ps.get.prediction(adata, "mine")
    assert np.array_equal(dense(got.X), dense(prediction.X))
    assert sp.issparse(got.X) == sp.issparse(prediction.X)
    assert got.obs_names.equals(prediction.obs_names)
    assert got.obs.columns.tolist() == ["cell_type", "perturbation"]


def test_genes_are_found_by_name(adata) -> None:
    prediction = predict(["A"])
    shuffled = prediction[:, ["g4", "g2", "g0", "g1", "g3"]].copy()
    ps.pp.add_prediction(adata, shuffled, "mine")
    got = ps.get.prediction(adata, "mine")
    assert got.var_names.equals(adata.var_names)
    assert np.array_equal(dense(got.X), dense(prediction.X))


def test_genes_that_the_screen_lacks_are_dropped(adata) -> None:
    prediction = predict(["A"], n_genes=7)
    with pytest.warns(UserWarning, match=r"'mine': dropped 2 gene\(s\).*'g5', 'g6'"):
        ps.pp.add_prediction(adata, prediction, "mine")
    assert np.array_equal(dense(ps.get.prediction(adata, "mine").X), dense(prediction.X)[:, :5])


def test_controls_are_set_aside(adata) -> None:
    prediction = predict(["control", "A", "control"])
    ps.pp.add_prediction(adata, prediction, "mine")
    got = ps.get.prediction(adata, "mine")
    assert got.obs["perturbation"].tolist() == ["A"]
    assert got.uns["controls"].obs["perturbation"].tolist() == ["control"] * 2
    assert np.array_equal(dense(got.uns["controls"].X), dense(prediction.X)[[0, 2]])


def test_conditions_never_observed_are_kept_with_a_warning(adata) -> None:
    with pytest.warns(
        UserWarning, match=r"2 condition\(s\) were never observed.*'x\|B\+C', 'x\|C'"
    ):
        ps.pp.add_prediction(adata, predict(["A", "C", "B+C"]), "mine")
    assert ps.get.prediction(adata, "mine").n_obs == 3


def test_again_replaces(adata) -> None:
    for labels in (["A"], ["B"]):
        ps.pp.add_prediction(adata, predict(labels), "mine")
    assert ps.get.prediction(adata, "mine").obs["perturbation"].tolist() == ["B"]


def with_value(value: float) -> ad.AnnData:
    prediction = predict(["A", "B"], kind=np.array)
    prediction.X[1, 2] = value
    return prediction


def without(prediction: ad.AnnData, **attributes: object) -> ad.AnnData:
    for name, value in attributes.items():
        setattr(prediction, name, value)
    return prediction


def counts() -> ad.AnnData:
    return without(predict(["A", "B"]), X=np.arange(10.0).reshape(2, 5))


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
@pytest.mark.parametrize(
    ("prediction", "error", "match"),
    [
        (predict(["A"], n_genes=3), ValueError, "lacks 2 of the screen's 5 genes: 'g3', 'g4'"),
        (without(predict(["A"]), var_names=["g0", "g1", "g2", "g3", "g3"]), ValueError, "'g3'"),
        (without(predict(["A"]), X=None), ValueError, "the prediction has no `.X`"),
        (
            without(predict(["A"]), obs=pd.DataFrame({"perturbation": ["A"]}, index=["r"])),
            KeyError,
            "'cell_type'",
        ),
        (
            without(predict(["A"]), obs=pd.DataFrame({"cell_type": ["x"]}, index=["r"])),
            KeyError,
            "'perturbation'",
        ),
        (predict(["A", None]), ValueError, "1 missing label"),
        (with_value(np.nan), ValueError, r"NaN or infinite values, in 'x\|B'"),
        (with_value(-np.inf), ValueError, r"NaN or infinite values, in 'x\|B'"),
        (predict(["control", "control"]), ValueError, "no rows but controls"),
        (predict([]), ValueError, "no rows"),
        (counts(), ValueError, "the prediction holds integer counts, the screen does not"),
        (np.ones((2, 5)), TypeError, "expected an AnnData, got ndarray"),
    ],
)
def test_refusals(adata, prediction, error, match) -> None:
    with refused(adata, error, match):
        ps.pp.add_prediction(adata, prediction, "mine")


@pytest.mark.parametrize(
    ("key", "error", "match"),
    [
        ("a/b", ValueError, "`key`='a/b' cannot be stored"),
        ("", ValueError, "must not be empty"),
        (3, TypeError, "must be a string"),
    ],
)
def test_keys(adata, key, error, match) -> None:
    with refused(adata, error, match):
        ps.pp.add_prediction(adata, predict(["A"]), key)


def test_counts_for_counts(adata) -> None:
    adata = make_screen(["A", "B"], counts=True)
    ps.pp.add_prediction(adata, counts(), "mine")
    assert ps.get.prediction(adata, "mine").n_obs == 2


def test_profiles_with_negative_values(adata) -> None:
    adata.X = adata.X.toarray() - 1
    ps.pp.register(adata, covariate_keys=["cell_type"])
    ps.pp.add_prediction(adata, with_value(-7), "mine")
    assert (ps.get.effects(adata).to_numpy() < 0).any()
