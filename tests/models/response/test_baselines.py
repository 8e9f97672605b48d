"""Every baseline against a few lines of plain NumPy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.helpers import dense, fingerprint, make_screen, refused
from tests.models.small import small_screen

import pertscope as ps

TABLE = {  # perturbations of each context; x holds singles and doubles, z lacks B alone
    "x": ["A", "B", "C", "A+B", "B+C", "A+D", "B+D", "A+C"],
    "y": ["A", "B", "A+C", "B+D"],
    "z": ["A", "A+B", "C"],
}
TEST = {("x", "A+B"), ("y", "A+C"), ("z", "C")}
VAL = {("x", "B+C"), ("y", "B")}


@pytest.fixture
def adata():
    adata = make_screen(TABLE, n_genes=7, n_cells=4, seed=3)
    rng = np.random.default_rng(1)
    part = []
    for context, label in zip(adata.obs["cell_type"], adata.obs["perturbation"], strict=True):
        held_out = (
            "test" if (context, label) in TEST else "val" if (context, label) in VAL else "train"
        )
        part.append(
            rng.choice(["train", "train", "val", "test"]) if label == "control" else held_out
        )
    adata.obs["split"] = pd.Categorical(part)
    return adata


def mean_of(adata, context: str, label: str, split: str | None = None) -> np.ndarray:
    chosen = (adata.obs["cell_type"] == context) & (adata.obs["perturbation"] == label)
    if split is not None:
        chosen &= adata.obs["split"] == split
    return dense(adata.X)[chosen.to_numpy()].mean(axis=0)


def train_effects(adata) -> dict[tuple[str, str], np.ndarray]:
    return {
        (c, p): mean_of(adata, c, p, "train") - mean_of(adata, c, "control", "train")
        for c, labels in TABLE.items()
        for p in labels
        if (c, p) not in TEST | VAL
    }


def agree(adata, model, want: dict[tuple[str, str], np.ndarray], conditions=None) -> None:
    """Predictions are the mean of all controls plus the wanted effects."""
    got = model.predict(conditions)
    rows = list(zip(got.obs["cell_type"], got.obs["perturbation"], strict=True))
    assert set(rows) == set(want)
    for row, x in zip(rows, got.X, strict=True):
        wanted = mean_of(adata, row[0], "control") + want[row]
        np.testing.assert_allclose(x, wanted, rtol=1e-5, atol=1e-6, err_msg=str(row))


def test_no_change(adata) -> None:
    agree(adata, ps.tl.fit_no_change(adata), dict.fromkeys(TEST | VAL, np.zeros(7)))


def test_mean_effect(adata) -> None:
    effects = train_effects(adata)
    here = {
        context: np.mean([e for (c, _), e in effects.items() if c == context], axis=0)
        for context in TABLE
    }
    agree(adata, ps.tl.fit_mean_effect(adata), {(c, p): here[c] for c, p in TEST | VAL})
    overall = np.mean(list(effects.values()), axis=0)
    model = ps.tl.fit_mean_effect(adata, per_covariate=False)
    agree(adata, model, dict.fromkeys(TEST | VAL, overall))


def test_mean_effects_of_contexts_that_read_alike(adata, tmp_path) -> None:
    """Joined by ``|`` the first two are one."""
    values = {"x": ("a|b", "c"), "y": ("a", "b|c"), "z": ("a\\", "b|c")}
    effects = train_effects(adata)
    for i, key in enumerate(["line", "time"]):
        adata.obs[key] = [values[c][i] for c in adata.obs["cell_type"]]
    ps.pp.register(adata, covariate_keys=["line", "time"])
    model = ps.tl.fit_mean_effect(adata)
    model.save(tmp_path / "model")
    for fitted in (model, ps.models.MeanEffect.load(tmp_path / "model", adata)):
        for c, (line, time) in values.items():  # one by one: the names of rows read alike too
            asked = pd.DataFrame({"line": [line], "time": [time], "perturbation": ["A"]})
            shift = np.mean([e for (k, _), e in effects.items() if k == c], axis=0)
            want = mean_of(adata, c, "control") + shift
            np.testing.assert_allclose(fitted.predict(asked).X, want[None], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("keys", [["cell_type"], ["cell_type", "batch"]])
def test_plain_contexts_keep_their_names(keys) -> None:
    """Models that were saved before names were told apart still load."""
    adata = small_screen()
    if len(keys) == 1:
        adata.obs["cell_type"] = adata.obs["cell_type"].cat.rename_categories({"A": "a|b"})
    ps.pp.register(adata, covariate_keys=keys)
    adata.obs["split"] = np.where(adata.obs["split"] == "test", "test", "train")
    model = ps.models.MeanEffect(adata)
    model.train()
    names = adata.obs[keys].astype(str).agg("|".join, axis=1)
    assert set(model._arrays()["groups"]) == set(names)


def test_mean_effect_of_a_context_without_training(adata) -> None:
    in_y = (adata.obs["cell_type"] == "y") & (adata.obs["perturbation"] != "control")
    adata.obs["split"] = adata.obs["split"].astype(object).where(~in_y, "test")
    with refused(adata, ValueError, "no perturbation of 'y' was in training.*per_covariate=False"):
        ps.tl.fit_mean_effect(adata)
    ps.tl.fit_mean_effect(adata, per_covariate=False)


def test_additive(adata) -> None:
    e = train_effects(adata)
    d_in_x = (e["x", "A+D"] - e["x", "A"] + e["x", "B+D"] - e["x", "B"]) / 2  # e(p + q) - e(q)
    b_in_z = e["z", "A+B"] - e["z", "A"]
    # C is alone only in x, in train; A+C in x does not count where C is alone
    c_elsewhere = e["x", "C"]
    b_elsewhere = (e["x", "B"] + b_in_z) / 2  # B+D in y tells nothing: neither is known there
    d_elsewhere = d_in_x
    want = {
        ("x", "A+B"): e["x", "A"] + e["x", "B"],
        ("x", "B+C"): e["x", "B"] + e["x", "C"],
        ("y", "A+C"): e["y", "A"] + c_elsewhere,
        ("y", "B"): b_elsewhere,
        ("z", "C"): c_elsewhere,
    }
    model = ps.tl.fit_additive(adata)
    agree(adata, model, want)
    more = {
        ("x", "D"): d_in_x,
        ("y", "D"): d_elsewhere,
        ("z", "D"): d_elsewhere,
        ("x", "A+B+D"): e["x", "A"] + e["x", "B"] + d_in_x,
        ("y", "A+B+D"): e["y", "A"] + b_elsewhere + d_elsewhere,
        ("z", "A+B+D"): e["z", "A"] + b_in_z + d_elsewhere,
    }
    agree(adata, model, more, ["D", "A+B+D"])


def test_additive_shares_what_it_cannot_tell_apart(adata) -> None:
    """E and F occur in training only together."""
    labels = {"A+D": "E+F", "B+D": "A+B", "A+C": "E+F"}
    labels = [labels.get(p, p) for p in adata.obs["perturbation"]]
    adata.obs["perturbation"] = pd.Categorical(labels)
    train = adata.obs["split"] == "train"
    contexts = adata.obs.loc[train & (adata.obs["perturbation"] == "E+F"), "cell_type"].unique()
    half = np.mean(
        [
            mean_of(adata, c, "E+F", "train") - mean_of(adata, c, "control", "train")
            for c in contexts
        ],
        axis=0,
    )
    model = ps.models.Additive(adata)
    model.train()
    agree(adata, model, {(c, "E"): half / 2 for c in TABLE}, ["E"])


@pytest.mark.parametrize("features", ["one-hot", "genes"])
@pytest.mark.parametrize("n_components", [2, 10])
def test_bilinear(adata, features, n_components) -> None:
    """W = (G'G + lI)^-1 G'(Y - b) P (P'P + lI)^-1, prediction G W P' + b."""
    adata.var_names = ["A", "g1", "C", "D", "g4", "B", "g6"]
    effects = train_effects(adata)
    rows = list(effects)
    b = {c: np.mean([effects[r] for r in rows if r[0] == c], axis=0) for c in TABLE}
    y = np.column_stack([effects[r] - b[r[0]] for r in rows])  # genes x conditions
    g = np.linalg.eigh(y @ y.T)[1][:, ::-1][:, :n_components]
    g = g @ np.diag(np.linalg.norm(g.T @ y, axis=1))  # scores of the genes, up to sign
    table = {"one-hot": np.eye(4), "genes": g[[0, 5, 2, 3]]}[features]

    def p_of(label: str) -> np.ndarray:
        return np.sum([table["ABCD".index(part)] for part in label.split("+")], axis=0)

    p = np.stack([p_of(label) for _, label in rows])
    l_g, l_p = 0.3 * np.eye(g.shape[1]), 0.3 * np.eye(p.shape[1])
    w = np.linalg.inv(g.T @ g + l_g) @ g.T @ y @ p @ np.linalg.inv(p.T @ p + l_p)
    model = ps.tl.fit_bilinear(
        adata, n_components=n_components, ridge=0.3, perturbation_features=features
    )
    agree(adata, model, {(c, q): g @ w @ p_of(q) + b[c] for c, q in TEST | VAL})


def test_bilinear_features(adata) -> None:
    assert ps.tl.fit_bilinear(adata).settings["perturbation_features"] == "one-hot"
    with refused(
        adata, ValueError, "'A', 'B', 'C', 'D' are no genes .*perturbation_features='one-hot'"
    ):
        ps.models.Bilinear(adata, perturbation_features="genes")
    for settings in ({"n_components": 0}, {"ridge": 0.0}, {"ridge": float("nan")}):
        with refused(adata, ValueError, "must be positive"):
            ps.models.Bilinear(adata, **settings)
    with refused(adata, ValueError, "must be 'auto', 'genes' or 'one-hot'"):
        ps.models.Bilinear(adata, perturbation_features="gene")
    simulated = small_screen()
    assert ps.tl.fit_bilinear(simulated).settings["perturbation_features"] == "genes"


@pytest.mark.parametrize("name", ["no_change", "mean_effect", "additive", "bilinear"])
def test_order_of_cells_is_nothing(adata, name) -> None:
    shuffled = adata[np.random.default_rng(2).permutation(adata.n_obs)].copy()
    got, want = (getattr(ps.tl, f"fit_{name}")(a).predict() for a in (shuffled, adata))
    assert fingerprint(got.obs) == fingerprint(want.obs)
    np.testing.assert_allclose(got.X, want.X, rtol=1e-5, atol=1e-6)
