from __future__ import annotations

from tests.helpers import make_screen

import pertscope as ps


def test_counts() -> None:
    labels = ["A", "B", "B+A", "C+D", "E+control"]
    adata = make_screen({"x": labels, "y": ["A"]}, n_controls=9)
    got = ps.get.screen(adata)
    assert (got.n_cells, got.n_genes) == adata.shape
    assert got.n_perturbations == 5
    assert got.n_combinations == 2
    assert got.n_conditions == 6
    assert got.n_controls == {("x",): 9, ("y",): 9}
    assert got.screen.control == "control"


def test_prints_numbers_and_keys() -> None:
    text = repr(ps.get.screen(make_screen(n_controls=1200, n_cells=1)))
    assert "screen of 3,612 cells x 5 genes" in text
    assert "x: 1,200, y: 1,200, z: 1,200" in text
    assert "perturbation_key: 'perturbation'" in text
    assert "layer: None" in text
    assert "schema_version" not in text


def test_without_covariates() -> None:
    adata = make_screen(register=False)
    ps.pp.register(adata)
    assert "controls: 24\n" in repr(ps.get.screen(adata))


def test_contexts_of_the_same_text() -> None:
    adata = make_screen(contexts="xy", register=False)
    adata.obs["line"] = adata.obs["cell_type"].map({"x": "a|b", "y": "a"})
    adata.obs["time"] = adata.obs["cell_type"].map({"x": "c", "y": "b|c"})
    ps.pp.register(adata, covariate_keys=["line", "time"])
    got = ps.get.screen(adata)
    assert got.n_controls == {("a", "b|c"): 8, ("a|b", "c"): 8}
    assert "2 set(s) of covariates" in repr(got)


def test_devel(devel) -> None:
    ps.pp.register(devel, perturbation_key="condition", covariate_keys=["cell_type"])
    got = ps.get.screen(devel)
    obs = devel.obs.astype(str)
    labels = obs["condition"][obs["condition"] != "control"]
    assert got.n_combinations == labels[labels.str.contains("+", regex=False)].nunique()
    assert got.n_perturbations == labels.str.split("+").explode().nunique()
    controls = obs[obs["condition"] == "control"]["cell_type"].value_counts()
    assert got.n_controls == {(k,): n for k, n in controls.items()}
