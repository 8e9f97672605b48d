"""Doses: registered, learned, predicted."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from tests.helpers import refused

import pertscope as ps
from pertscope._core.conditions import screen_conditions
from pertscope._core.screen import Screen
from pertscope.models.doses import Doses, at_doses, treatments

DOSES = (1.0, 10.0, 100.0)
QUIET = {"max_epochs": 60, "lr": 1e-2, "batch_size": 64, "accelerator": "cpu"}


def screen(*, n: int = 60, seed: int = 0) -> ad.AnnData:
    """Three drugs at three doses in two lines; the effect grows with the logarithm of the dose."""
    rng = np.random.default_rng(seed)
    axes = rng.normal(size=(3, 12))
    x, obs = [], []
    for line, base in (("A", 3.0), ("B", 4.0)):
        for drug in ("control", "d0", "d1", "d2"):
            for dose in (0.0,) if drug == "control" else DOSES:
                share = np.log1p(dose) / np.log1p(DOSES[-1])
                effect = 0 if drug == "control" else share * axes[int(drug[1])]
                m = 3 * n if drug == "control" else n
                x.append(base + effect + 0.1 * rng.normal(size=(m, 12)))
                obs += [(line, drug, dose)] * m
    table = pd.DataFrame(obs, columns=["line", "drug", "dose"])
    table.index = [f"c{i}" for i in range(len(table))]
    adata = ad.AnnData(np.concatenate(x).astype(np.float32), obs=table)
    ps.pp.register(adata, perturbation_key="drug", covariate_keys=["line"], dose_key="dose")
    held = (table["line"] == "B") & (table["drug"] == "d1")
    part = np.where(rng.random(len(table)) < 0.2, "val", "train")
    adata.obs["split"] = np.where(held, "test", part)
    return adata


def test_scale() -> None:
    scale = Doses.of(np.array([0, 10, 1000, 100.0]))
    assert scale == (10, 1000)
    np.testing.assert_allclose(
        scale.scaled(np.array([0, 10, 1000.0])), [0, np.log(2) / np.log(101), 1]
    )
    np.testing.assert_allclose(  # whatever the unit
        Doses.of(np.array([1e-3, 0.1])).scaled(np.array([1e-2])),
        Doses.of(np.array([1, 100.0])).scaled(np.array([10.0])),
    )
    with pytest.raises(ValueError, match="positive dose"):
        Doses.of(np.zeros(3))


def test_treatments_and_mixtures() -> None:
    adata = screen(n=4)
    conditions = screen_conditions(adata, Screen.of(adata))
    applied, codes = treatments(adata.obs, conditions)
    assert len(applied) == 2 * (1 + 3 * 3)
    got = pd.DataFrame({"name": applied.index[codes], "dose": applied.dose[codes]})
    assert (got["dose"].to_numpy() == adata.obs["dose"].to_numpy()).all()
    assert (got["name"].to_numpy() == conditions.index[conditions.codes].to_numpy()).all()
    wanted = conditions.take(np.flatnonzero(conditions.labels == "d1"))
    mixture = at_doses(wanted, None, conditions, adata.obs)
    assert mixture.of.tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_allclose(mixture.share, 1 / 3)
    np.testing.assert_array_equal(mixture.conditions.dose, [*DOSES, *DOSES])
    fixed = at_doses(wanted, 5, conditions, adata.obs)
    np.testing.assert_array_equal(fixed.conditions.dose, [5, 5])


@pytest.mark.parametrize("name", ["linear", "latent_additive", "cpa"])
def test_networks_learn_the_dose(name) -> None:
    adata = screen()
    settings = {} if name == "linear" else {"n_hidden": 32, "n_latent": 8, "dropout": 0}
    settings |= {"adversarial": False} if name == "cpa" else {}
    model = getattr(ps.tl, f"fit_{name}")(adata, **settings, **QUIET)
    control = adata[(adata.obs["drug"] == "control") & (adata.obs["line"] == "A")].X.mean(0)
    here = (adata.obs["line"] == "A") & (adata.obs["drug"] == "d1")
    sizes = []
    for dose in DOSES:
        observed = adata[here & (adata.obs["dose"] == dose)].X.mean(0) - control
        effect = model.predict(["d1"], dose=dose)["A|d1"].X[0] - control
        sizes.append(np.linalg.norm(effect))
        if dose > 1:  # at the lowest there is more noise than effect
            assert np.corrcoef(effect, observed)[0, 1] > 0.9, dose
    assert sizes[0] < sizes[1] < sizes[2]
    # without a dose: what the cells of the condition got
    each = np.mean([model.predict(["d1"], dose=d).X for d in DOSES], axis=0)
    np.testing.assert_allclose(model.predict(["d1"]).X, each, rtol=1e-4, atol=1e-5)


def test_cells_get_one_dose_each() -> None:
    adata = screen(n=8)
    model = ps.tl.fit_linear(adata, **(QUIET | {"max_epochs": 5}))
    cells = model.predict(["d1"], cells_per_condition=24)
    assert cells.n_obs == 48
    again = model.predict(["d1"], cells_per_condition=24)
    np.testing.assert_array_equal(cells.X, again.X)


def test_saved_with_the_model(tmp_path) -> None:
    adata = screen(n=8)
    model = ps.tl.fit_linear(adata, **(QUIET | {"max_epochs": 2}))
    model.save(tmp_path / "m")
    same = ps.models.Linear.load(tmp_path / "m", adata)
    np.testing.assert_array_equal(same.predict(dose=7.0).X, model.predict(dose=7.0).X)


def test_refusals() -> None:
    adata = screen(n=4)
    model = ps.tl.fit_linear(adata, **(QUIET | {"max_epochs": 1}))
    with pytest.raises(ValueError, match=r"have no cells whose doses.*A\|d0\+d1.*Pass the `dose`"):
        model.predict(["d0+d1"])
    assert model.predict(["d0+d1"], dose=10).n_obs == 2
    with pytest.raises(ValueError, match="`dose`=-1 must not be negative"):
        model.predict(["d1"], dose=-1)
    adata.obs.loc[adata.obs_names[-2:], "dose"] = [np.nan, -3]
    with pytest.raises(ValueError, match="no dose, or a negative one, for 2 perturbed cell"):
        ps.tl.fit_linear(adata, max_epochs=1)
    ps.pp.register(adata, perturbation_key="drug", covariate_keys=["line"])
    plain = ps.tl.fit_linear(adata, **(QUIET | {"max_epochs": 1}))
    with pytest.raises(ValueError, match="`dose`=3, but the screen has no doses"):
        plain.predict(["d1"], dose=3)


@pytest.mark.parametrize("name", ["linear", "no_change"])
def test_a_table_says_no_doses(name) -> None:
    adata = screen(n=4)
    model = getattr(ps.tl, f"fit_{name}")(
        adata, **(QUIET | {"max_epochs": 1} if name == "linear" else {})
    )
    table = pd.DataFrame({"line": "A", "drug": "d1", "dose": [1.0, 10.0, 1000.0]})
    with refused(
        adata, ValueError, "has a column 'dose'.* pass `dose=` once per dose.*`key_added`"
    ):
        ps.tl.predict(adata, model, table, key_added="doses")
    assert model.predict(table.drop(columns="dose")).n_obs == 1
    ps.pp.register(adata, perturbation_key="drug", covariate_keys=["line"])  # then it says nothing
    plain = ps.models.NoChange(adata)
    plain.train()
    assert plain.predict(table).n_obs == 1


@pytest.mark.parametrize("adversarial", [False, True])
def test_cpa_learns_a_curve_for_each_drug(adversarial, tmp_path) -> None:
    """d0 has half its effect at a low dose, d2 at a high one, d1 in the middle."""
    adata = screen(n=40)
    half = {"d0": 0.15, "d1": 0.5, "d2": 0.85}
    scale = Doses(DOSES[0], DOSES[-1])
    scaled = scale.scaled(adata.obs["dose"].to_numpy())
    clean = adata[adata.obs["dose"] == DOSES[-1]]
    x = np.array(adata.X)
    for line in ("A", "B"):
        here = (adata.obs["line"] == line).to_numpy()
        control = x[here & (adata.obs["drug"] == "control")].mean(0)
        for drug, middle in half.items():
            full = clean[(clean.obs["line"] == line) & (clean.obs["drug"] == drug)].X.mean(0)
            cells = here & (adata.obs["drug"] == drug).to_numpy()
            share = _sigmoid(scaled[cells], middle)[:, None]
            noise = 0.1 * np.random.default_rng(1).normal(size=(cells.sum(), x.shape[1]))
            x[cells] = control + share * (full - control) + noise
    adata.X = x.astype(np.float32)
    settings = {"n_hidden": 32, "n_latent": 8, "warmup_epochs": 30, "adversarial": adversarial}
    model = ps.tl.fit_cpa(adata, **settings, **(QUIET | {"max_epochs": 120}))
    middles = [DOSES[0], 3.0, 10.0, 30.0, DOSES[-1]]
    got = model.get_dose_response([0, *middles])
    assert got.index.name == "dose"
    assert got.columns.tolist() == ["d0", "d1", "d2"]
    np.testing.assert_array_equal(got.iloc[[0, -1]], [[0, 0, 0], [1, 1, 1]])
    assert (got.diff().iloc[1:] > 0).all(axis=None)
    assert got.loc[10, "d0"] > got.loc[10, "d1"] + 0.1 > got.loc[10, "d2"] + 0.2
    want = _sigmoid(scale.scaled(np.array(middles))[:, None], np.array(list(half.values())))
    straight = scale.scaled(np.array(middles))[:, None]
    assert np.abs(got.iloc[1:] - want).mean(axis=None) < np.abs(straight - want).mean() / 2
    assert model.get_dose_response().shape == (26, 3)
    model.save(tmp_path / "cpa")
    again = ps.models.CPA.load(tmp_path / "cpa", adata)
    pd.testing.assert_frame_equal(again.get_dose_response(), model.get_dose_response())
    with pytest.raises(ValueError, match="none of them negative"):
        model.get_dose_response([-1])


def _sigmoid(scaled: np.ndarray, middle: np.ndarray | float) -> np.ndarray:
    """A steep curve, 0 at 0 and 1 at 1."""
    low, at, high = (1 / (1 + np.exp(-10 * (d - middle))) for d in (0, scaled, 1))
    return (at - low) / (high - low)


def test_no_curves_without_doses() -> None:
    adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=20, seed=0)
    ps.pp.register(adata)
    ps.pp.normalize(adata)
    adata.obs["split"] = np.where(np.arange(adata.n_obs) % 5, "train", "test")
    model = ps.models.CPA(adata, n_hidden=8, n_latent=4, adversarial=False)
    model.train(max_epochs=1, early_stopping=False, accelerator="cpu")
    with pytest.raises(ValueError, match=r"no curves of doses: .*dose_key"):
        model.get_dose_response()
