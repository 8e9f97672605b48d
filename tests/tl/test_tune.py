"""The search for settings: what it finds, what it looks at, how it goes on."""

from __future__ import annotations

import contextlib
import functools
import io
import signal
import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import optuna
import pandas as pd
import pytest
from tests.helpers import fingerprint, refused

import pertscope as ps
from pertscope.models._registry import MODELS
from pertscope.tl import _study
from pertscope.tl._candidate import Candidate
from pertscope.tl._search_space import losses_compare, published_spaces, search_space_of, suggest

RATES = {"lr": {"choices": [1e-7, 1e-1]}}
RIDGES = {"ridge": {"low": 1e-2, "high": 1e4, "log": True}}
QUICK = {"n_seeds": 1, "max_epochs": 3, "accelerator": "cpu"}
MEASURED = ["trial", "state", "seed", "objective", "rmse_mean", "rmse_rank_mean", "epochs"]


@functools.cache
def _screen() -> ad.AnnData:
    adata = ps.datasets.simulate_screen(
        n_perturbations=16,
        n_genes=20,
        n_cells_per_condition=5,
        n_controls=24,
        covariates=("A", "B"),
        effect_size=0.8,
        seed=3,
    )
    ps.pp.register(adata, covariate_keys=["cell_type"])
    ps.pp.normalize(adata)
    with contextlib.redirect_stdout(io.StringIO()):
        ps.pp.split_transfer(adata, max_fraction=0.5)
    return adata


def screen() -> ad.AnnData:
    """16 perturbations in 2 cell types, 20 genes; several held out in each."""
    return _screen().copy()


def tune(adata: ad.AnnData, model: str = "linear", **arguments) -> pd.DataFrame:
    """Tune quickly; the table of trials."""
    if model != "bilinear":
        arguments = QUICK | arguments
    ps.tl.tune(adata, model, **arguments)
    return adata.uns["tune"][arguments.get("key_added", model)]


def same(a: pd.DataFrame, b: pd.DataFrame) -> None:
    """The same trials: all but time and place is equal."""
    other = ["seconds", "machine"]
    pd.testing.assert_frame_equal(a.drop(columns=other), b.drop(columns=other))


def without_test(adata: ad.AnnData) -> ad.AnnData:
    return adata[(adata.obs["split"] != "test").to_numpy()].copy()


# -- what it finds -------------------------------------------------------------------------------


def test_finds_the_better_of_two_settings() -> None:
    adata = screen()
    before = fingerprint([adata.X, adata.obs, adata.var, adata.layers])
    model = ps.tl.tune(
        adata, "linear", search_space=RATES, n_trials=4, max_epochs=4, n_seeds=3, batch_size=64,
        accelerator="cpu", prune=False, seed=5,
    )  # fmt: skip
    assert fingerprint([adata.X, adata.obs, adata.var, adata.layers]) == before
    table = adata.uns["tune"]["linear"]
    assert table.columns.tolist() == [*MEASURED, "seconds", "machine", "error", "lr"]
    assert table["trial"].tolist()[:4] == [0, 1, 2, 3]
    trials = table[:4]
    assert set(trials["lr"]) == {1e-7, 1e-1}
    best = trials.loc[trials["objective"].idxmin()]
    assert best["lr"] == 1e-1
    assert trials.groupby("lr")["objective"].max()[1e-1] < trials["objective"].max()
    # further seeds: rows of the best trial, predictions of their own
    assert table["seed"].tolist() == [5, 5, 5, 5, 6, 7]
    assert (table["trial"][4:] == best["trial"]).all()
    assert (table["lr"][4:] == 1e-1).all()
    assert table["objective"][4:].nunique() == 2
    assert list(adata.uns["pertscope"]["predictions"]) == ["linear", "linear_seed6", "linear_seed7"]
    # the same as fitting these settings by hand
    for key, seed in (("linear", 5), ("linear_seed7", 7)):
        other = screen()
        arguments = {"lr": 1e-1, "max_epochs": 4, "batch_size": 64, "accelerator": "cpu"}
        fitted = ps.tl.fit_linear(other, seed=seed, key_added="by hand", **arguments)
        want, got = ps.get.prediction(other, "by hand"), ps.get.prediction(adata, key)
        assert fingerprint(got) == fingerprint(want)
    assert fitted.settings == model.settings | {"seed": 7}


def test_objective_is_that_of_the_metrics() -> None:
    adata = screen()
    table = tune(adata, "latent_additive", search_space={"n_hidden": {"choices": [4]}}, n_trials=1)
    model = ps.tl.fit_latent_additive(adata, n_hidden=4, max_epochs=3, accelerator="cpu")
    visible = without_test(adata)
    visible.uns["pertscope"].pop("predictions")
    ps.tl.predict(visible, model, key_added="best")
    ps.ev.error_metrics(visible, metrics=["rmse"], statistics=["mean"], split="val")
    ps.ev.rank_metrics(visible, distances=[("rmse", "mean")], split="val")
    scores = ps.get.scores(visible)["mean"].loc["best"]
    assert table["rmse_mean"].item() == scores["rmse_mean"]
    assert table["rmse_rank_mean"].item() == scores["rmse_rank_mean"]
    want = scores["rmse_mean"] + 0.1 * scores["rmse_rank_mean"]
    assert table["objective"].item() == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("name", ["bilinear", "latent_additive"])
def test_test_cells_have_no_influence(name) -> None:
    adata, other = screen(), screen()
    of_test = np.flatnonzero(other.obs["split"] == "test")
    assert (other.obs["perturbation"].iloc[of_test] == "control").any()
    x = other.X.toarray()
    x[of_test] = np.random.default_rng(0).permutation(x[of_test].ravel()).reshape(len(of_test), -1)
    other.X = type(other.X)(x)
    space = RIDGES if name == "bilinear" else {"n_hidden": {"choices": [4, 8, 16]}}
    tables = [tune(a, name, search_space=space, n_trials=3) for a in (adata, other)]
    same(*tables)
    predictions = [fingerprint(ps.get.prediction(a, name).X) for a in (adata, other)]
    assert predictions[0] != predictions[1]  # from all controls, as always


@pytest.mark.parametrize("form", [np.asarray, pd.DataFrame])
def test_representations(form) -> None:
    adata = screen()
    x = pd.DataFrame(adata.X.toarray()[:, :4], adata.obs_names).add_prefix("d")
    adata.obsm["X_rep"] = x if form is pd.DataFrame else form(x)
    space = {"n_hidden": {"choices": [4]}}
    table = tune(adata, "latent_additive", search_space=space, n_trials=1, use_rep="X_rep")
    assert table["state"].tolist() == ["complete"]


def test_conditions_that_cannot_be_ranked() -> None:
    adata = screen()
    one = adata.obs.query("split == 'val' and perturbation != 'control'")
    drop = one[["cell_type", "perturbation"]].drop_duplicates(subset="cell_type")
    keep = one.reset_index().merge(drop, on=["cell_type", "perturbation"])["index"]
    adata.obs.loc[one.index.difference(keep), "split"] = np.nan
    with pytest.warns(UserWarning, match="no two validation conditions share their covariates"):
        table = tune(adata, "bilinear", n_trials=1)
    assert table["rmse_rank_mean"].isna().all()
    assert table["objective"].equals(table["rmse_mean"])


# -- the search ----------------------------------------------------------------------------------


def test_same_seed_same_trials() -> None:
    tables = [tune(screen(), search_space=RATES, n_trials=3, seed=s) for s in (0, 0, 1)]
    same(*tables[:2])
    assert not tables[0]["objective"].equals(tables[2]["objective"])


def test_goes_on_as_if_never_stopped(tmp_path) -> None:
    space = RIDGES | {"n_components": {"low": 2, "high": 12}}
    arguments = {"model": "bilinear", "search_space": space, "study_name": "ours"}
    at_once = tune(screen(), **arguments, n_trials=12)  # past the 10 random ones
    assert at_once["trial"].tolist() == list(range(12))
    assert at_once["ridge"].nunique() == 12
    storage = tmp_path / "new" / "journal.log"
    for n, want in ((3, 3), (12, 12), (5, 12)):
        adata = screen()
        table = tune(adata, **arguments, storage=storage, n_trials=n)
        assert len(table) == want
    same(table, at_once)
    best = table["objective"].idxmin()  # of an earlier call: trained again
    fitted = ps.tl.fit_bilinear(
        screen(), ridge=table["ridge"][best], n_components=int(table["n_components"][best])
    )
    assert fingerprint(ps.get.prediction(adata, "bilinear").X) == fingerprint(fitted.predict().X)
    with refused(adata, ValueError, "'ours' in .*journal.log was made with other 'settings'"):
        ps.tl.tune(adata, **arguments, storage=storage, perturbation_features="one-hot")
    with refused(adata, ValueError, "other 'search_space', 'seed'"):
        ps.tl.tune(adata, "bilinear", study_name="ours", storage=storage, seed=1)
    fewer = adata[:, :10].copy()
    with refused(fewer, ValueError, "other 'training data', 'validation conditions'"):
        ps.tl.tune(fewer, **arguments, storage=storage)


def test_study_of_other_values(tmp_path) -> None:
    adata = screen()
    perturbed = adata.obs["perturbation"] != "control"
    of_val = np.flatnonzero((adata.obs["split"] == "val") & perturbed)
    arguments = {"model": "bilinear", "storage": tmp_path / "log", "n_trials": 1}
    tune(adata, **arguments)
    x = adata.X.toarray().astype(np.float64)
    again, other = screen(), screen()
    again.X = x * (1 + 1e-14)  # as another machine may sum
    assert len(tune(again, **arguments)) == 1
    x[of_val[0], 3] += 1
    other.X = x
    with refused(other, ValueError, "other 'training data', 'validation conditions'"):
        ps.tl.tune(other, **arguments)


@pytest.mark.parametrize("what", ["values", "labels", "parts", "controls"])
def test_study_of_other_training_data(tmp_path, what) -> None:
    """Validation cells are the same: what trials learn from is not."""
    arguments = {"model": "bilinear", "storage": tmp_path / "log", "n_trials": 1}
    tune(screen(), **arguments)
    assert len(tune(without_test(screen()), **arguments)) == 1
    other = screen()
    is_control = (other.obs["perturbation"] == "control").to_numpy()
    train = np.flatnonzero((other.obs["split"] == "train").to_numpy() & ~is_control)
    of_val = np.flatnonzero((other.obs["split"] == "val").to_numpy() & is_control)
    turned = np.arange(other.n_obs)
    if what == "values":
        turned[train] = train[::-1]
    elif what == "labels":
        one = train[other.obs["cell_type"].iloc[train] == "A"]
        labels = other.obs["perturbation"].to_numpy(dtype=object)
        labels[one] = labels[one[::-1]]
        other.obs["perturbation"] = labels
    elif what == "parts":
        other.obs.loc[other.obs_names[train[::3]], "split"] = np.nan
    else:
        turned[of_val] = train[: len(of_val)]
    other.X = other.X[turned]
    with refused(other, ValueError, "was made with other 'training data': pass the same"):
        ps.tl.tune(other, **arguments)


def test_study_of_other_inputs(tmp_path) -> None:
    rng = np.random.default_rng(0)
    adata = screen()
    names = sorted(set(adata.obs["perturbation"]) - {"control"})

    def embed(name: str, *, to: ad.AnnData) -> ad.AnnData:
        table = pd.DataFrame(rng.normal(size=(len(names), 3)), index=names)
        ps.pp.add_perturbation_embedding(to, table, name)
        return to

    for name in ("e", "unused", "e1", "e2"):
        embed(name, to=adata)
    for name in ("X_rep", "X_other"):
        adata.obsm[name] = rng.normal(size=(adata.n_obs, 2))
    searched = {"n_layers": {"choices": [1]}, "perturbation_embedding": {"choices": [None, "e"]}}
    arguments = {"model": "latent_additive", "search_space": searched, "use_rep": "X_rep"}
    arguments |= {"storage": tmp_path / "log", "n_trials": 1, "n_hidden": 4, "max_epochs": 1}
    tune(adata, **arguments)
    same_inputs = embed("unused", to=adata.copy())
    same_inputs.obsm["X_other"] = rng.normal(size=(adata.n_obs, 2))
    assert len(tune(same_inputs, **arguments)) == 1
    other = adata.copy()
    other.obsm["X_rep"] = rng.normal(size=(adata.n_obs, 2))
    with refused(other, ValueError, "other 'training data'"):
        tune(other, **arguments)
    other = embed("e", to=adata.copy())
    with refused(other, ValueError, "other 'training data'"):
        tune(other, **arguments)
    several = {"model": "context_mlp", "perturbation_embedding": ["e1", "e2"], "max_epochs": 1}
    several |= {"search_space": RATES, "storage": tmp_path / "several", "n_trials": 1}
    tune(adata, **several)
    other = embed("e2", to=adata.copy())
    with refused(other, ValueError, "other 'training data'"):
        tune(other, **several)


def test_other_devices_share_a_study(tmp_path) -> None:
    arguments = {"search_space": RATES, "storage": tmp_path / "log"}
    tune(screen(), **arguments, n_trials=1, accelerator="cpu")
    here = {"accelerator": "auto", "devices": 1, "strategy": "auto"}
    table = tune(screen(), **arguments, n_trials=2, **here)
    assert table["state"].tolist() == ["complete"] * 2


def test_database(monkeypatch) -> None:
    opened = []
    monkeypatch.setattr(
        _study, "RDBStorage", lambda url: opened.append(url) or optuna.storages.InMemoryStorage()
    )
    tune(screen(), "bilinear", storage="postgresql://host/studies", n_trials=1)
    assert opened == ["postgresql://host/studies"]


WORKER = """
import sys, anndata as ad, pertscope as ps
adata = ad.read_h5ad(sys.argv[1])
ps.tl.tune(adata, "bilinear", storage=sys.argv[2], n_trials=6)
"""


def test_processes_share_a_study(tmp_path) -> None:
    adata = screen()
    adata.write_h5ad(tmp_path / "screen.h5ad")
    command = [sys.executable, "-c", WORKER, str(tmp_path / "screen.h5ad"), str(tmp_path / "log")]
    cwd = Path(__file__).parents[2] / "src"
    workers = [
        subprocess.Popen(command, cwd=cwd, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for worker in workers:
        _, errors = worker.communicate()
        assert worker.returncode == 0, errors.decode()
    table = tune(adata, "bilinear", storage=tmp_path / "log", n_trials=6)
    assert len(table) in {6, 7}  # both may have begun the last
    assert table["trial"].tolist() == list(range(len(table)))
    assert (table["state"] == "complete").all()
    assert (table["machine"] != "").all()
    assert table["ridge"].nunique() == len(table)  # they draw differently


# -- trials that do not end well -----------------------------------------------------------------


def test_bad_trials_are_pruned() -> None:
    space = {"lr": {"low": 1e-8, "high": 1e-1, "log": True}}
    arguments = {"search_space": space, "n_trials": 8, "max_epochs": 10, "batch_size": 1000}
    table = tune(screen(), **arguments)
    pruned = table["state"] == "pruned"
    assert pruned.any()
    assert table.loc[pruned, "objective"].isna().all()
    assert (table.loc[pruned, "epochs"] > 1).all()  # the first tenth is a warm-up
    assert (table.loc[pruned, "epochs"] < 10).any()
    everything = tune(screen(), **arguments, prune=False)
    assert (everything["state"] == "complete").all()
    assert table["objective"].min() == everything.loc[~pruned, "objective"].min()


def test_no_pruning_by_losses_that_cannot_be_compared(monkeypatch) -> None:
    told = []
    monkeypatch.setattr(optuna.trial.Trial, "report", lambda _, *loss: told.append(loss))
    small = {"n_hidden": 4, "n_latent": 2, "n_trials": 1}
    tune(
        screen(), "biolord", search_space={"likelihood": {"choices": ["mse", "gaussian"]}}, **small
    )
    assert not told
    tune(screen(), "biolord", search_space={"penalty": {"low": 1.0, "high": 2.0}}, **small)
    assert [epoch for _, epoch in told] == [0, 1, 2]
    spaces = published_spaces()
    assert all(losses_compare(name, spaces[name]) for name in spaces if MODELS[name].network)
    paths = {"path": {"choices": ["diffusion", "flow_matching"]}}
    assert not losses_compare("generative", paths)
    assert losses_compare("linear", paths)  # what that is there is its own affair


def test_failed_trials(monkeypatch) -> None:
    adata = screen()
    space = {"lr": {"choices": [1e-2, 1e38]}}
    with pytest.warns(UserWarning, match=r"of 6 trainings failed, see .*'tune'.*\n?.*the loss"):
        table = tune(adata, search_space=space, n_trials=6, prune=False)
    failed = table["lr"] == 1e38
    assert (table["state"] == np.where(failed, "failed", "complete")).all()
    assert table["error"][failed].str.startswith("ValueError: the loss became").all()
    assert (table["error"][~failed] == "").all()
    assert table["objective"].isna().equals(failed)
    train = MODELS["linear"].load().train

    @functools.wraps(train)
    def no_memory(self, *, lr, **kwargs):
        if lr > 1:
            raise MemoryError("no memory left")
        train(self, lr=lr, **kwargs)

    monkeypatch.setattr(MODELS["linear"].load(), "train", no_memory)
    with pytest.warns(UserWarning, match="MemoryError: no memory left"):
        table = tune(adata, search_space=space, n_trials=6, prune=False)
    assert (table["state"] == np.where(failed, "failed", "complete")).all()
    with refused(adata, ValueError, r"all 2 trial\(s\) failed, the last with MemoryError: no mem"):
        ps.tl.tune(adata, "linear", search_space={"lr": {"choices": [9.0]}}, n_trials=2)


def test_device_memory_is_freed_after_each_trial(monkeypatch) -> None:
    freed = []
    monkeypatch.setattr(_study.gc, "collect", lambda: freed.append(1))
    tune(screen(), search_space=RATES, n_trials=1)
    assert not freed  # it takes time, and there is no device
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    tune(screen(), search_space=RATES, n_trials=2)
    assert len(freed) >= 2


def test_interrupt(monkeypatch, tmp_path) -> None:
    adata, told = screen(), []
    report = optuna.trial.Trial.report

    def press(self, value, step):
        told.append(self.number)
        if self.number == 2 and step == 1:
            signal.raise_signal(signal.SIGINT)
        report(self, value, step)

    arguments = {"search_space": RATES, "n_trials": 4, "n_seeds": 2, "storage": tmp_path / "log"}
    with monkeypatch.context() as patch:
        patch.setattr(optuna.trial.Trial, "report", press)
        with pytest.warns(UserWarning, match=r"interrupted: the best of 3 training\(s\) is kept"):
            table = tune(adata, **arguments)
    assert max(told) == 2
    assert table["state"].tolist() == ["complete", "complete", "failed"]
    assert table["error"].tolist() == ["", "", "interrupted"]
    assert list(adata.uns["pertscope"]["predictions"]) == ["linear"]
    table = tune(adata, **arguments)  # goes on
    assert table["state"].tolist() == ["complete", "complete", "failed", "complete", "complete"]
    assert table["seed"].tolist() == [0, 0, 0, 0, 1]
    other = screen()
    with monkeypatch.context() as patch:
        patch.setattr(optuna.trial.Trial, "report", lambda *_: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            tune(other, search_space=RATES, n_trials=4)
    assert "tune" not in other.uns
    assert "predictions" not in other.uns["pertscope"]


# -- ranges and tables ---------------------------------------------------------------------------


def test_published_ranges() -> None:
    spaces = published_spaces()
    for name, space in spaces.items():
        assert search_space_of(Candidate(name, {}), None) == space
    assert "bilinear" in spaces
    assert set(spaces) - {"bilinear"} <= {name for name, e in MODELS.items() if e.network}
    wide = {"low": 256, "high": 5376, "step": 1024}
    latent = {"choices": [64, 128, 192, 256, 512]}
    for name in ("latent_additive", "cpa", "sams_vae", "biolord"):
        assert spaces[name]["n_hidden"] == wide
        assert spaces[name]["n_latent"] == latent
        assert spaces[name]["n_layers"] == {"low": 1, "high": 7, "step": 2}
        assert spaces[name]["dropout"] == {"low": 0.0, "high": 0.8, "step": 0.1}
    for name in set(spaces) - {"bilinear", "embedding_fusion"}:
        high = 1e-3 if name in {"cpa", "sams_vae"} else 5e-3
        assert spaces[name]["lr"] == {"low": 5e-6, "high": high, "log": True}
        assert spaces[name]["weight_decay"] == {"low": 1e-8, "high": 1e-3, "log": True}
    assert spaces["embedding_fusion"]["n_layers"] == {"low": 1, "high": 8}
    assert spaces["embedding_fusion"]["lr"] == {"low": 1e-5, "high": 1e-3, "log": True}
    assert spaces["embedding_fusion"]["covariates"]["only_with"] == {"kind": "simple"}
    assert spaces["cpa"]["adversary_steps"]["choices"] == [2, 3, 5, 7, 10, 20, 30]
    assert spaces["biolord"]["penalty"] == {"low": 1e1, "high": 1e5, "log": True}


def test_conditional_ranges() -> None:
    space = published_spaces()["cpa"]
    fixed = {k: (e.get("choices") or [e["low"]])[0] for k, e in space.items()}
    drawn = {}
    for settings in ({}, {"variational": False}, {"adversarial": False}):
        candidate = Candidate("cpa", settings)
        trial = optuna.trial.FixedTrial(fixed)
        chosen = suggest(trial, search_space_of(candidate, None), candidate.settings)
        drawn[tuple(settings)] = set(chosen)
    adversary = {k for k in space if "advers" in k} | {"penalty_weight"}
    assert drawn[()] == set(space)
    assert drawn["variational",] == set(space) - {"kl_weight"}
    assert drawn["adversarial",] == set(space) - adversary


def test_table_survives_a_file(tmp_path) -> None:
    adata = screen()
    space = {
        "sparse": {"choices": [True, False]},
        "mask_prior_probability": {"low": 0.01, "high": 0.5, "only_with": {"sparse": True}},
        "gradient_clip": {"choices": [None, 1.0]},
    }
    fixed = {"n_hidden": 8, "n_latent": 4}
    table = tune(adata, "sams_vae", search_space=space, n_trials=5, **fixed, key_added="mine")
    assert set(table["sparse"]) == {"True", "False"}
    assert table["mask_prior_probability"].isna().equals(table["sparse"] == "False")
    adata.write_h5ad(tmp_path / "screen.h5ad")
    again = ad.read_h5ad(tmp_path / "screen.h5ad")
    pd.testing.assert_frame_equal(again.uns["tune"]["mine"], table, check_categorical=False)
    assert fingerprint(ps.get.prediction(again, "mine").X) == fingerprint(
        ps.get.prediction(adata, "mine").X
    )


# -- refusals ------------------------------------------------------------------------------------


def test_refusals(monkeypatch) -> None:
    adata = screen()

    def expect(error, match, model="linear", **arguments) -> None:
        with refused(adata, error, match):
            ps.tl.tune(adata, model, **arguments)

    expect(ValueError, "no model 'liner'; nearest: 'linear'", "liner")
    nothing = "'no_change' has nothing to tune; 'embedding_fusion', .*'bilinear' have"
    expect(ValueError, nothing, "no_change")
    expect(ValueError, "nothing is left", lr=1e-3, weight_decay=0.0)
    expect(ValueError, "'linear' has no setting 'rate'", rate=1)
    expect(ValueError, "'linear' has no setting 'n_hidden'", search_space={"n_hidden": {}})
    expect(ValueError, "no setting 'on_epoch'", on_epoch=print)
    expect(ValueError, "'linear': `checkpoint` is for one training", checkpoint="folder")
    expect(ValueError, "'lr' cannot be both fixed and", lr=1e-3, search_space=RATES)
    expect(ValueError, "nothing is left to tune: `search_space` is empty", search_space={})
    for entry in ([1, 2], {"low": 1}, {"low": 1, "high": 2, "step": 1, "log": True}, {}):
        expect(ValueError, r"`search_space\['lr'\]`=.* must be", search_space={"lr": entry})
    for entry in ({"choices": []}, {"choices": "ab"}, {"choices": [[1]]}):
        expect(ValueError, "choices must be a list", search_space={"lr": entry})
    for entry in ({"low": 2, "high": 1}, {"low": 0, "high": 1, "log": True}):
        expect(ValueError, "'low'=. must not exceed", search_space={"lr": entry})
    odd = {"lr": {"low": 0.1, "high": 1, "only_with": {"colour": 1}}}
    expect(ValueError, "no setting 'colour'", search_space=odd)
    expect(ValueError, "`n_trials`=0", n_trials=0)
    expect(ValueError, "`n_seeds`=0", n_seeds=0)
    expect(ValueError, "`max_epochs`=0", max_epochs=0)
    expect(ValueError, "cannot be stored", key_added="a/b")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "optuna", None)
        expect(ImportError, r"pip install 'pertscope\[tune\]'")
    del adata.obs["split"]
    expect(KeyError, "no split")
