"""``fit_gears`` against a stand-in for cell-gears, which keeps what it was given."""

from __future__ import annotations

import contextlib
import io
import json
import textwrap
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from tests.helpers import dense, fingerprint, make_screen, refused

import pertscope as ps
from pertscope.external.run_gears import RefusedError, check_graph

if TYPE_CHECKING:
    from pathlib import Path

LABELS = ("A", "B", "C", "D", "A+B", "A+C", "B+C", "D+B")

STAND_IN = """
    import json, os, pathlib, pickle, sys
    import numpy as np

    class PertData:
        def __init__(self, data_path, default_pert_graph=True):
            self.data_path = pathlib.Path(data_path)
            self.downloaded = not (self.data_path / "gene2go_all.pkl").exists()
            (self.data_path / "gene2go_all.pkl").write_text("graph")
            self.default_pert_graph = default_pert_graph

        def set_pert_genes(self):
            self.pert_names = np.array(os.environ["STAND_IN_GRAPH"].split())

        def new_data_process(self, dataset_name, adata, skip_calc_de=False):
            self.adata = adata

        def prepare_split(self, split, seed, split_dict_path):
            assert split == "custom"
            self.split = pickle.loads(pathlib.Path(split_dict_path).read_bytes())

        def get_dataloader(self, batch_size):
            self.batch_size = batch_size
            self.dataloader = {"train_loader": [], "val_loader": [], "test_loader": []}

    class GEARS:
        def __init__(self, data, device):
            self.data, self.adata, self.device, self.saved_pred = data, data.adata, device, {}
            self.given = data.adata

        def model_initialize(self, hidden_size):
            self.hidden_size = hidden_size

        def train(self, epochs, lr, weight_decay):
            self.arguments = [epochs, lr, weight_decay]
            print("Epoch 1: Train Overall MSE", file=sys.stderr)
            if "STAND_IN_FAILS" in os.environ:
                raise RuntimeError("out of memory on this device")

        def save_model(self, path):
            folder = pathlib.Path(path)
            folder.mkdir()
            self.given.write_h5ad(folder / "given.h5ad")
            given = {
                "split": self.data.split,
                "loaders": list(self.data.dataloader),
                "arguments": [self.device, self.data.batch_size, self.hidden_size, *self.arguments],
                "preset": self.data.default_pert_graph,
                "downloaded": self.data.downloaded,
            }
            (folder / "given.json").write_text(json.dumps(given))

        def predict(self, pert_list):
            for genes in pert_list:
                if "_".join(genes) not in self.saved_pred:
                    control = self.adata.X[(self.adata.obs["condition"] == "ctrl").to_numpy()]
                    shift = sum(list(self.data.pert_names).index(g) + 1 for g in genes)
                    mean = np.asarray(control.mean(axis=0)).ravel()
                    self.saved_pred["_".join(genes)] = mean + shift * np.arange(len(mean)) / 10
            return {"_".join(genes): self.saved_pred["_".join(genes)] for genes in pert_list}
"""
STAND_IN_TORCH = """
    def manual_seed(seed): pass
    class cuda:
        is_available = staticmethod(lambda: False)
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Folder of the stand-in; the other interpreter is this one."""
    folder = tmp_path / "stand_in"
    folder.mkdir()
    (folder / "gears.py").write_text(textwrap.dedent(STAND_IN))
    (folder / "torch.py").write_text(textwrap.dedent(STAND_IN_TORCH))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("PERTSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STAND_IN_GRAPH", "A B C D E")
    return folder


def gears_screen(labels=LABELS, **settings) -> ad.AnnData:
    adata = make_screen(labels, **({"contexts": ["x"], "n_controls": 20} | settings))
    with contextlib.redirect_stdout(io.StringIO()):
        ps.pp.split_combinations(adata)
    return adata


def fit(adata: ad.AnnData, **settings) -> None:
    ps.tl.fit_gears(adata, **({"batch_size": 4, "progress": False} | settings))


def parts_of(adata: ad.AnnData) -> pd.Series:
    return adata.obs["split"].astype(object).where(adata.obs["split"].notna(), "none")


def name_in_gears(label: str) -> str:
    """By hand: controls, singles with a control behind them, pairs in order."""
    if label == "control":
        return "ctrl"
    return "+".join(sorted(label.split("+"))) if "+" in label else f"{label}+ctrl"


def expected(adata: ad.AnnData, label: str, graph: str = "ABCDE") -> np.ndarray:
    control = dense(adata.X[(adata.obs["perturbation"] == "control").to_numpy()]).mean(axis=0)
    shift = sum(graph.index(gene) + 1 for gene in label.split("+"))
    return control + shift * np.arange(adata.n_vars) / 10


def test_same_split_in_and_our_form_out(stand_in, tmp_path, capfd) -> None:
    adata = gears_screen()
    adata.obs.iloc[np.flatnonzero(adata.obs["perturbation"] == "A")[:1], -1] = np.nan  # in no part
    before = fingerprint([adata.X, adata.obs, adata.var, adata.layers])
    folder = tmp_path / "kept"
    settings = {"n_hidden": 7, "max_epochs": 3, "lr": 0.5, "weight_decay": 0.25, "seed": 4}
    assert fit(adata, folder=folder, gene_graph="screen", **settings, progress=True) is None
    assert fingerprint([adata.X, adata.obs, adata.var, adata.layers]) == before
    assert "Epoch 1: Train Overall MSE" in capfd.readouterr().err

    part = parts_of(adata)
    is_control = adata.obs["perturbation"] == "control"
    ours = adata[((part == "train") | ((part == "val") & ~is_control)).to_numpy()]
    given = ad.read_h5ad(folder / "model" / "given.h5ad")
    assert given.obs_names.tolist() == ours.obs_names.tolist()
    assert given.obs["split"].tolist() == ours.obs["split"].tolist()
    assert given.obs["condition"].tolist() == [name_in_gears(p) for p in ours.obs["perturbation"]]
    assert set(given.obs["cell_type"]) == {"x"}
    assert given.var["gene_name"].tolist() == adata.var_names.tolist()
    np.testing.assert_array_equal(given.X.toarray(), ours.X.toarray())

    said = json.loads((folder / "model" / "given.json").read_text())
    for name in ("train", "val"):
        rows = ours.obs["split"] == name
        assert sorted(said["split"][name]) == sorted(
            {name_in_gears(p) for p in ours.obs["perturbation"][rows]}
        )
    assert said["split"]["test"] == []
    assert said["loaders"] == ["train_loader", "val_loader"]
    assert said["arguments"] == ["cpu", 4, 7, 3, 0.5, 0.25]
    assert not said["preset"]
    assert said["downloaded"]
    assert (tmp_path / "cache" / "gears" / "gene2go_all.pkl").read_text() == "graph"
    assert not (folder / "work").exists()

    kept = ps.get.prediction(adata, "gears")
    held_out = ps.get.conditions(adata).query("split in ['val', 'test'] and not is_control")
    assert sorted(kept.obs["perturbation"]) == sorted(held_out["perturbation"])
    assert kept.var_names.equals(adata.var_names)
    assert kept.X.dtype == np.float32
    want = [expected(adata, label) for label in kept.obs["perturbation"]]
    np.testing.assert_allclose(kept.X, want, rtol=1e-6)

    ps.pp.add_prediction(adata, ad.read_h5ad(folder / "prediction.h5ad"), "by_hand")
    np.testing.assert_array_equal(ps.get.prediction(adata, "by_hand").X, kept.X)
    assert ps.get.prediction(adata, "by_hand").obs.equals(kept.obs)


def test_outside_the_graph(stand_in, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("STAND_IN_GRAPH", "A B C E")
    adata = gears_screen()
    with refused(adata, ValueError, r"1 perturbation.*leaves out 2 condition.*: D\. .*'skip'"):
        fit(adata, folder=tmp_path / "refused")
    assert not (tmp_path / "refused" / "model").exists()  # before training

    asked = ["A+B", "B+D", "E"]  # the last was never seen, and is in the graph
    with pytest.warns(UserWarning, match="left out|never observed") as warned:
        fit(adata, missing="skip", conditions=asked, folder=tmp_path / "kept", key_added="some")
    said = [str(w.message) for w in warned]
    assert [s for s in said if "left out 2 condition(s)" in s and "'B+D', 'D+ctrl'" in s]
    assert [s for s in said if "never observed" in s and "'x|E'" in s]
    kept = ps.get.prediction(adata, "some")
    assert kept.obs["perturbation"].tolist() == ["A+B", "E"]
    want = [expected(adata, label, "ABCE") for label in ("A+B", "E")]
    np.testing.assert_allclose(kept.X, want, rtol=1e-6)
    given = ad.read_h5ad(tmp_path / "kept" / "model" / "given.h5ad")
    assert not given.obs["condition"].str.contains("D").any()


def test_nothing_left_inside_the_graph() -> None:
    obs = pd.DataFrame(
        {"condition": ["ctrl", "A+ctrl", "B+ctrl"], "split": ["train", "train", "val"]},
        index=["a", "b", "c"],
    )
    cells, wanted = ad.AnnData(np.ones((3, 2)), obs=obs), [{"condition": "A+C"}]
    assert check_graph({"A", "B", "C"}, cells, wanted, skip=False) == ([], [])
    for graph, left in (
        ({"A", "C"}, "val"),
        ({"B", "C"}, "train, the conditions to predict"),
        ({"A", "B"}, "the conditions to predict"),
    ):
        with pytest.raises(RefusedError, match=f"nothing is left in {left}\\."):
            check_graph(graph, cells, wanted, skip=True)


def test_failure_shows_what_it_said(stand_in, monkeypatch) -> None:
    adata = gears_screen()
    monkeypatch.setenv("STAND_IN_FAILS", "1")
    with refused(adata, RuntimeError, r"status 1(.|\n)*out of memory on this device"):
        fit(adata)


def test_lacking_package(tmp_path) -> None:
    bare = tmp_path / "python"
    bare.write_text(
        "#!/bin/sh\necho \"ModuleNotFoundError: No module named 'gears'\" >&2\nexit 3\n"
    )
    bare.chmod(0o755)
    adata = gears_screen()
    with refused(
        adata, RuntimeError, r"status 3(.|\n)*'gears'\n(.|\n)*pertscope\[gears\].*`python=`"
    ):
        fit(adata, python=bare)


def several_contexts() -> ad.AnnData:
    return gears_screen(contexts=["x", "y"])


def three_at_once() -> ad.AnnData:
    adata = gears_screen([*LABELS, "A+B+D"])
    adata.obs.loc[adata.obs["perturbation"] == "A+B+D", "split"] = "test"
    return adata


def several_doses() -> ad.AnnData:
    adata = gears_screen()
    adata.obs["dose"] = np.arange(adata.n_obs) % 2 + 1.0
    ps.pp.register(adata, covariate_keys=["cell_type"], dose_key="dose")
    return adata


def condition_on_both_sides() -> ad.AnnData:
    adata = gears_screen()
    adata.obs.loc[adata.obs.index[adata.obs["perturbation"] == "A"][:2], "split"] = "val"
    return adata


def without(part: str, *, controls: bool) -> ad.AnnData:
    adata = gears_screen()
    is_control = (adata.obs["perturbation"] == "control").to_numpy()
    adata.obs.loc[(adata.obs["split"] == part) & (is_control == controls), "split"] = "test"
    return adata


def one_cell() -> ad.AnnData:
    adata = gears_screen()
    rows = np.flatnonzero(adata.obs["perturbation"] == "A")[1:]
    return adata[np.setdiff1d(np.arange(adata.n_obs), rows)].copy()


def named_like_a_control() -> ad.AnnData:
    return gears_screen(["ctrl", *LABELS])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (several_contexts, "knows no covariates, the screen has 2 combinations of 'cell_type'"),
        (three_at_once, r"one perturbation or two at once, no more: 'x\|A\+B\+D'"),
        (several_doses, r"knows no doses, `.obs\['dose'\]` holds 2"),
        (condition_on_both_sides, r"1 have cells in 'train' and in 'val': 'x\|A'"),
        (lambda: without("val", controls=False), "no perturbed cells in 'val'"),
        (lambda: without("train", controls=True), "no control cells in 'train'"),
        (one_cell, r"takes two cells; one cell have 'x\|A'"),
        (named_like_a_control, "'ctrl' cannot be the name of a gene"),
        (lambda: gears_screen(counts=True), "integer counts"),
    ],
)
def test_refused_before_anything_runs(make, message, monkeypatch) -> None:
    def run(*arguments, **settings) -> None:
        pytest.fail("it ran")

    monkeypatch.setattr("pertscope.tl._gears_exchange._run", run)
    adata = make()
    with refused(adata, ValueError, message):
        fit(adata)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gene_graph": "mine"}, "`gene_graph`='mine' is none of 'preset', 'screen'"),
        ({"missing": "mean"}, "`missing`='mean'"),
        ({"accelerator": "cuda:0"}, "`accelerator`='cuda:0'"),
        ({"max_epochs": 0}, "`max_epochs`=0"),
        ({"batch_size": 1}, "`batch_size`=1 must be at least 2"),
        ({"batch_size": 1000}, "fewer than a batch"),
        ({"python": "/no/such/python"}, "`python`='/no/such/python' is no interpreter"),
        ({"key_added": "a/b"}, "key_added"),
        ({"conditions": ["control"]}, "names no perturbation"),
    ],
)
def test_refused_settings(settings, message) -> None:
    adata = gears_screen()
    with refused(adata, ValueError, message):
        fit(adata, **settings)


def test_refused_folder_and_split(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with refused(adata := gears_screen(), ValueError, "is not empty"):
        fit(adata, folder=tmp_path)
    with refused(adata := make_screen(LABELS, contexts=["x"]), KeyError, "no split"):
        fit(adata)
