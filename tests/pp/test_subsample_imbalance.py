from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
from tests.helpers import fingerprint, make_screen, refused

import pertscope as ps

MANY = [f"p{i}" for i in range(60)]


def screen(labels=MANY) -> ad.AnnData:
    return make_screen(labels, n_cells=1, n_controls=2, n_genes=1)


@pytest.mark.parametrize("wanted", [0.0, 0.02, 0.1, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_reaches_the_target_and_keeps_the_rest(wanted, seed) -> None:
    adata = screen()
    before = adata.copy()
    assert ps.get.imbalance(adata) == pytest.approx(0)
    ps.pp.subsample_imbalance(adata, wanted, min_perturbations=3, seed=seed)
    assert ps.get.imbalance(adata) == pytest.approx(wanted, abs=0.01)
    table = ps.get.conditions(adata)
    assert (table["cell_type"] == "x").sum() == 61
    assert table["is_control"].sum() == 3
    assert table.query("~is_control")["cell_type"].value_counts().min() >= 3
    assert (table["n_cells"] == np.where(table["is_control"], 2, 1)).all()
    kept = before.obs_names.isin(adata.obs_names)
    assert fingerprint(adata) == fingerprint(before[kept].copy())


def test_seeds() -> None:
    found = []
    for seed in (0, 0, 1):
        adata = screen()
        ps.pp.subsample_imbalance(adata, 0.1, min_perturbations=3, seed=seed)
        found.append(adata.obs_names.tolist())
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("n_first", [5, 30])
def test_an_unbalanced_screen_may_be_balanced(n_first) -> None:
    adata = screen({"x": MANY[:n_first], "y": MANY})
    assert ps.get.imbalance(adata) > 0.02
    ps.pp.subsample_imbalance(adata, 0.0, min_perturbations=1)
    assert ps.get.imbalance(adata) < 0.01


def test_the_default_keeps_thirty() -> None:
    adata = screen()
    with refused(
        adata, ValueError, "imbalance of 0.5 is out of reach: this screen allows 0.000 to"
    ):
        ps.pp.subsample_imbalance(adata, 0.5)
    ps.pp.subsample_imbalance(adata, 0.05)
    counts = ps.get.conditions(adata).query("~is_control")["cell_type"].value_counts()
    assert counts.min() >= 30
    assert counts["x"] == 60


@pytest.mark.parametrize("wanted", [-0.1, 1.1, np.nan])
def test_out_of_reach(wanted) -> None:
    adata = screen()
    with refused(adata, ValueError, f"an imbalance of {wanted} is out of reach"):
        ps.pp.subsample_imbalance(adata, wanted, min_perturbations=1)


def test_one_context() -> None:
    adata = make_screen(contexts=["x"])
    with refused(adata, ValueError, "one combination of covariates: it cannot be unbalanced"):
        ps.pp.subsample_imbalance(adata, 0.1)


def test_on_disk(tmp_path) -> None:
    screen().write_h5ad(tmp_path / "x.h5ad")
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    n = backed.n_obs
    with pytest.raises(ValueError, match="lies on disk: read it into memory"):
        ps.pp.subsample_imbalance(backed, 0.1, min_perturbations=1)
    assert backed.n_obs == n
