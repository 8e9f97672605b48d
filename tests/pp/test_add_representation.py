"""Vectors of cells made elsewhere: matched by name, whatever the order and the file."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.helpers import make_screen, refused

import pertscope as ps


@pytest.fixture
def adata() -> ad.AnnData:
    return make_screen()


@pytest.fixture
def table(adata) -> pd.DataFrame:
    vectors = np.random.default_rng(0).normal(size=(adata.n_obs, 3)).astype(np.float32)
    return pd.DataFrame(vectors, index=adata.obs_names, columns=["x", "y", "z"])


@pytest.mark.parametrize("kind", ["frame", "anndata", "csv", "tsv", "parquet", "h5ad", "npz"])
def test_every_source_in_another_order(kind, adata, table, tmp_path, capsys) -> None:
    moved = table.sample(frac=1, random_state=0)
    path = tmp_path / f"table.{kind}"
    source: object = path
    if kind == "frame":
        source = moved
    elif kind == "anndata":
        source = ad.AnnData(moved)
    elif kind in ("csv", "tsv"):
        moved.to_csv(path, sep="," if kind == "csv" else "\t")
    elif kind == "parquet":
        moved.to_parquet(path)
    elif kind == "h5ad":
        ad.AnnData(moved).write_h5ad(path)
    else:
        np.savez(path, names=moved.index.to_numpy(dtype=str), vectors=moved.to_numpy())
    ps.pp.add_representation(adata, source, "X_model")
    assert adata.obsm["X_model"].dtype == np.float32
    np.testing.assert_allclose(adata.obsm["X_model"], table, rtol=1e-6)
    n = adata.n_obs
    told = f"X_model: {n} of {n} cells have a vector of 3 dimensions; rows were in another order\n"
    assert capsys.readouterr().out == told


def test_the_obsm_of_an_anndata_or_its_file(adata, table, tmp_path) -> None:
    other = ad.AnnData(np.zeros((adata.n_obs, 1)), obs=table[[]])
    other.obsm["X_emb"] = table.to_numpy()
    ps.pp.add_representation(adata, other, "a", use_rep="X_emb")
    other.write_h5ad(tmp_path / "o.h5ad")
    ps.pp.add_representation(adata, tmp_path / "o.h5ad", "b", use_rep="X_emb")
    for key in "ab":
        np.testing.assert_array_equal(adata.obsm[key], table)
    with refused(adata, KeyError, "of the source has no 'X'; there are: 'X_emb'"):
        ps.pp.add_representation(adata, other, "a", use_rep="X")
    with refused(adata, ValueError, "for a `source` that is an AnnData"):
        ps.pp.add_representation(adata, table, "a", use_rep="X")
    with refused(adata, FileNotFoundError, "there is no file"):
        ps.pp.add_representation(adata, tmp_path / "no.h5ad", "a", use_rep="X")


@pytest.mark.parametrize("kind", ["csv", "tsv"])
@pytest.mark.parametrize("header", [True, "name", "none over the names"])
def test_names_of_digits(kind, header, adata, table, tmp_path) -> None:
    table.index = adata.obs_names = ["NA", *(f"{i:04d}" for i in range(1, adata.n_obs))]
    path, sep = tmp_path / f"table.{kind}", "," if kind == "csv" else "\t"
    table.to_csv(path, sep=sep, index_label=header if header == "name" else None)
    if header == "none over the names":
        table.index = adata.obs_names = ["0000", *table.index[1:]]
        rows = table.to_csv(None, sep=sep, header=False)
        path.write_text(sep.join(table.columns) + "\n" + rows)
    ps.pp.add_representation(adata, path, "X_model")
    np.testing.assert_allclose(adata.obsm["X_model"], table, rtol=1e-6)


def test_a_sparse_obsm(adata, table, tmp_path) -> None:
    other = ad.AnnData(np.zeros((adata.n_obs, 1)), obs=table[[]])
    other.obsm["X_emb"] = sp.csr_matrix(table.to_numpy())
    other.write_h5ad(tmp_path / "o.h5ad")
    for source in (other, tmp_path / "o.h5ad"):
        ps.pp.add_representation(adata, source, "a", use_rep="X_emb")
        np.testing.assert_array_equal(adata.obsm.pop("a"), table)


def test_rows_of_other_cells_are_left_out(adata, table, capsys) -> None:
    part = adata[::2].copy()
    ps.pp.add_representation(part, table, "X_model")
    np.testing.assert_array_equal(part.obsm["X_model"], table[::2])
    told = f"{adata.n_obs - part.n_obs} row(s) of other cells left out\n"
    assert capsys.readouterr().out.endswith(told)


def test_cells_without_a_row(adata, table, capsys) -> None:
    first = adata.obs_names[0]
    with refused(adata, ValueError, f"1 of {adata.n_obs} cells have no row: '{first}'"):
        ps.pp.add_representation(adata, table[1:], "X_model")
    ps.pp.add_representation(adata, table[1:], "X_model", missing="nan")
    assert np.isnan(adata.obsm["X_model"][0]).all()
    np.testing.assert_array_equal(adata.obsm["X_model"][1:], table[1:])
    assert f"without one: '{first}'" in capsys.readouterr().out
    with refused(adata, ValueError, "NaN or infinite values in 1 row"):
        ps.pp.center(adata, "X_model")


def test_refusals(adata, table) -> None:
    with refused(adata, ValueError, "none of the cells has a row"):
        ps.pp.add_representation(adata, table.add_prefix("q", axis=0), "X_model")
    with refused(adata, ValueError, "occur more than once"):
        ps.pp.add_representation(adata, pd.concat([table, table[:1]]), "X_model")
    with refused(adata, ValueError, "hold NaN or infinite values"):
        ps.pp.add_representation(adata, table.assign(x=np.inf), "X_model")
    with refused(adata, ValueError, "`missing`='mean' must be one of"):
        ps.pp.add_representation(adata, table, "X_model", missing="mean")
    with refused(adata, ValueError, "cannot be stored"):
        ps.pp.add_representation(adata, table, "X/model")
    adata.obs_names = ["c"] * adata.n_obs
    with pytest.raises(ValueError, match=r"`\.obs_names` are not unique"):
        ps.pp.add_representation(adata, table, "X_model")
