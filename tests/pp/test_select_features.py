from __future__ import annotations

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from scipy import stats
from tests.helpers import dense, fingerprint, make_screen, refused

import pertscope as ps

COLUMNS = ["highly_variable", "differentially_expressed", "perturbed", "selected"]


@pytest.fixture
def adata() -> ad.AnnData:
    """Simulated counts, normalised: 4 targets and 2 combinations in 2 contexts, 200 genes."""
    found = ps.datasets.simulate_screen(
        n_perturbations=4, n_combinations=2, n_genes=200, n_cells_per_condition=12, n_controls=30,
        covariates=("x", "y"), seed=1,
    )  # fmt: skip
    ps.pp.register(found, covariate_keys=["cell_type"])
    ps.pp.normalize(found)
    return found


def ranked_by_t(adata: ad.AnnData, n: int) -> set[str]:
    """Genes of largest |t| of every condition against its controls, by SciPy on the cells."""
    found: set[str] = set()
    obs = adata.obs
    for context in obs["cell_type"].unique():
        here = obs["cell_type"] == context
        control = dense(adata.X[(here & (obs["perturbation"] == "control")).to_numpy()])
        for label in set(obs["perturbation"]) - {"control"}:
            cells = dense(adata.X[(here & (obs["perturbation"] == label)).to_numpy()])
            with np.errstate(all="ignore"):
                t = stats.ttest_ind(cells, control, equal_var=False).statistic
            order = np.argsort(-np.abs(np.nan_to_num(t)), kind="stable")
            found |= set(adata.var_names[order[:n]])
    return found


@pytest.mark.filterwarnings("ignore:Precision loss")
def test_the_union_of_three_choices(adata) -> None:
    before = dict(fingerprint(adata))
    n_columns = adata.var.shape[1]
    ps.pp.select_features(adata, n_top_genes=30, n_degs=5)
    after = dict(fingerprint(adata))
    assert [k for k in after if after[k] != before[k]] == ["var"]
    var = adata.var[COLUMNS]
    assert set(var.dtypes.astype(str)) == {"bool"}
    assert adata.var.shape[1] == n_columns + 4
    want = sc.pp.highly_variable_genes(
        adata, n_top_genes=30, flavor="seurat_v3", layer="counts", inplace=False
    )["highly_variable"]
    assert var["highly_variable"].tolist() == want.tolist()
    assert set(var.index[var["differentially_expressed"]]) == ranked_by_t(adata, 5)
    assert set(var.index[var["perturbed"]]) == set(adata.var_names[adata.var["is_target"]])
    assert var["selected"].equals(var[COLUMNS[:3]].any(axis=1).rename("selected"))


def test_subset_is_the_selection(adata) -> None:
    ps.pp.select_features(adata, n_top_genes=20, n_degs=2)
    want = adata[:, adata.var["selected"].to_numpy()].copy()
    assert 20 < want.n_vars < 200
    ps.pp.select_features(adata, n_top_genes=20, n_degs=2, subset=True)
    assert fingerprint(adata) == fingerprint(want)


def test_limits(adata) -> None:
    ps.pp.select_features(adata, n_top_genes=10**6, n_degs=0)
    assert adata.var["highly_variable"].all()
    assert not adata.var["differentially_expressed"].any()
    ps.pp.select_features(adata, n_top_genes=1, n_degs=10**6)
    assert adata.var["highly_variable"].sum() == 1
    assert adata.var["differentially_expressed"].all()


KINDS = {
    **{d: lambda x, d=d: x.astype(d) for d in ("uint8", "int16", "uint16", "int32", "float16")},
    "csr_array": sp.csr_array,
    "csc": sp.csc_matrix,
    "dask": lambda x: da.from_array(x, chunks=(50, -1)),
    "dask of csr": lambda x: da.from_array(x, chunks=(50, -1)).map_blocks(sp.csr_matrix),
}


@pytest.mark.parametrize("kind", KINDS)
def test_variable_genes_of_counts_of_any_kind(adata, kind) -> None:
    """The genes are those of float64 counts, whose squares overflow small types."""
    counts = dense(adata.layers["counts"])
    counts *= np.random.default_rng(0).choice([1, 10], counts.shape)  # some must be clipped
    if kind == "int32":
        counts[:, ::7] *= 20_000
    else:
        counts = np.minimum(counts, 250 if kind == "uint8" else 2000)
    want = sc.pp.highly_variable_genes(
        ad.AnnData(counts, var=adata.var[[]]), n_top_genes=30, flavor="seurat_v3", inplace=False
    )["highly_variable"]
    adata.layers["counts"] = KINDS[kind](counts.astype(np.float32))
    ps.pp.select_features(adata, n_top_genes=30, n_degs=0)
    assert adata.var["highly_variable"].tolist() == want.tolist()


def test_genes_that_do_not_respond_are_not_chosen(adata) -> None:
    """Neither silent genes, nor any gene where one control leaves t undefined."""
    x = adata.X.toarray()
    x[:, :150] = 0
    adata.X = x
    ps.pp.select_features(adata, n_top_genes=10, n_degs=100)
    assert adata.var["differentially_expressed"].tolist() == [False] * 150 + [True] * 50
    control = adata.obs["perturbation"] == "control"
    alone = adata[(~control | ~adata.obs["cell_type"].where(control).duplicated()).to_numpy()]
    alone = alone.copy()
    assert (ps.get.conditions(alone).query("is_control")["n_cells"] == 1).all()
    ps.pp.select_features(alone, n_top_genes=10, n_degs=3)
    assert not alone.var["differentially_expressed"].any()


def test_genes_on_disk_are_not_dropped(adata, tmp_path) -> None:
    adata.write_h5ad(tmp_path / "x.h5ad")
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    before = fingerprint(backed.var)
    with pytest.raises(ValueError, match="on disk cannot be dropped in place: leave out `subset`"):
        ps.pp.select_features(backed, n_top_genes=10, n_degs=2, subset=True)
    assert fingerprint(backed.var) == before
    ps.pp.select_features(backed, n_top_genes=10, n_degs=2)
    small = backed[:, backed.var["selected"]].to_memory()
    assert small.n_vars == backed.var["selected"].sum() < 200
    backed.file.close()


def test_conditions_of_one_cell_are_not_tested(adata) -> None:
    table = ps.get.conditions(adata)
    names = adata.obs["cell_type"].astype(str) + "|" + adata.obs["perturbation"].astype(str)
    keep = ~names.duplicated() | (adata.obs["perturbation"] == "control")
    few = adata[keep.to_numpy()].copy()
    assert (ps.get.conditions(few).query("~is_control")["n_cells"] == 1).all()
    assert len(ps.get.conditions(few)) == len(table)
    ps.pp.select_features(few, n_top_genes=10, n_degs=5)
    assert not few.var["differentially_expressed"].any()


@pytest.mark.parametrize(
    ("keys", "error", "match"),
    [
        ({"counts_layer": "count"}, KeyError, "no 'count'; nearest: 'counts'"),
        ({"counts_layer": "logged"}, ValueError, "'logged' holds no integer counts: seurat_v3"),
        ({"n_top_genes": 0}, ValueError, "`n_top_genes`=0 must be positive"),
        ({"n_degs": -1}, ValueError, "`n_degs`=-1 not negative"),
    ],
)
def test_refusals(adata, keys, error, match) -> None:
    adata.layers["logged"] = adata.X.copy()
    with refused(adata, error, match):
        ps.pp.select_features(adata, **keys)


def test_registered_counts_are_refused() -> None:
    adata = make_screen(counts=True)
    adata.layers["counts"] = adata.X.copy()
    with refused(adata, ValueError, "`.X` holds integer counts, selecting responding genes needs"):
        ps.pp.select_features(adata, n_top_genes=2)


def test_bad_values_and_lost_controls(adata) -> None:
    kept = ~((adata.obs["cell_type"] == "x") & (adata.obs["perturbation"] == "control"))
    lost = adata[kept.to_numpy()].copy()
    with refused(lost, ValueError, "no 'control' cells for 'x' any more"):
        ps.pp.select_features(lost, n_top_genes=10)
    adata.X.data[7] = np.nan
    with refused(adata, ValueError, "NaN or infinite values in 1 gene"):
        ps.pp.select_features(adata, n_top_genes=10)


def test_papalexi(papalexi) -> None:
    ps.pp.register(papalexi, control="non-targeting")
    ps.pp.normalize(papalexi)
    ps.pp.select_features(papalexi, n_top_genes=100)
    targets = papalexi.var_names.intersection(pd.unique(papalexi.obs["perturbation"]))
    assert papalexi.var["perturbed"].sum() == len(targets)
    assert papalexi.var["highly_variable"].sum() == 100
