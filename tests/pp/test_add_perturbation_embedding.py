"""Tables of perturbation vectors: read, checked, kept, used."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from tests.helpers import make_screen

import pertscope as ps
from pertscope._core.perturbation_embedding import PerturbationEmbedding, read_embedding

PERTURBATIONS = ["A", "B", "A+B", "C"]


@pytest.fixture
def adata():
    return make_screen(PERTURBATIONS)


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(5, 3)).astype(np.float32)
    return pd.DataFrame(vectors, index=[*"ABCDE"], columns=["x", "y", "z"])


@pytest.mark.parametrize("kind", ["frame", "anndata", "csv", "tsv", "parquet", "h5ad", "npz"])
def test_every_source(kind, adata, table, tmp_path, capsys) -> None:
    path = tmp_path / f"table.{kind}"
    source: object = path
    if kind == "frame":
        source = table
    elif kind == "anndata":
        source = ad.AnnData(table)
    elif kind in ("csv", "tsv"):
        table.to_csv(path, sep="," if kind == "csv" else "\t")
    elif kind == "parquet":
        table.to_parquet(path)
    elif kind == "h5ad":
        ad.AnnData(table).write_h5ad(path)
    else:
        np.savez(path, names=table.index.to_numpy(dtype=str), vectors=table.to_numpy())
    ps.pp.add_perturbation_embedding(adata, source, "esm")
    got = read_embedding(adata, "esm")
    assert got.names == tuple("ABCDE")  # also what the screen has not: it can be predicted
    np.testing.assert_allclose(got.vectors, table.to_numpy(), rtol=1e-6)
    assert "esm: 3 of 3 perturbations have a vector of 3 dimensions" in capsys.readouterr().out


def test_written_and_read_again(adata, table, tmp_path) -> None:
    ps.pp.add_perturbation_embedding(adata, table, "esm", combine="mean")
    adata.write_h5ad(tmp_path / "s.h5ad")
    again = read_embedding(ad.read_h5ad(tmp_path / "s.h5ad"), "esm")
    want = read_embedding(adata, "esm")
    assert (again.names, again.combine) == (want.names, "mean")
    np.testing.assert_array_equal(again.vectors, want.vectors)


@pytest.mark.parametrize("combine", ["sum", "mean"])
def test_combinations(combine) -> None:
    vectors = np.array([[1, 2], [10, 20]], np.float32)
    embedding = PerturbationEmbedding(("A", "B"), vectors, combine)
    got = embedding.of([("A",), (), ("A", "B")])
    both = vectors.sum(0) if combine == "sum" else vectors.mean(0)
    np.testing.assert_array_equal(got, [[1, 2], [0, 0], both])
    with pytest.raises(ValueError, match=r"1 perturbation\(s\) have no row in the embedding: 'C'"):
        embedding.of([("A", "C")])


def test_alias_and_missing(adata, table, capsys) -> None:
    table = table.rename(index={"A": "ENSG1"})
    ps.pp.add_perturbation_embedding(adata, table.drop("C"), "e", alias={"A": "ENSG1"})
    got = read_embedding(adata, "e")
    np.testing.assert_array_equal(got.of([("A",)])[0], table.loc["ENSG1"].to_numpy())
    assert "2 of 3 perturbations have a vector of 3 dimensions; without one: 'C'" in (
        capsys.readouterr().out
    )
    ps.pp.add_perturbation_embedding(
        adata, table.drop("C"), "e", alias={"A": "ENSG1"}, missing="mean"
    )
    filled = read_embedding(adata, "e")
    assert "(they get the mean)" in capsys.readouterr().out
    want = table.drop("C").to_numpy()
    # the row under its old name counts in the mean with the row under its alias
    want = np.concatenate([want, table.loc[["ENSG1"]].to_numpy()]).mean(0)
    np.testing.assert_allclose(filled.of([("C",)])[0], want, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "arguments", "match"),
    [
        (lambda t: t.set_axis([*"AABCD"], axis=0), {}, "occur more than once: 'A'"),
        (lambda t: t.assign(x=np.nan), {}, r"5 row\(s\) hold NaN or infinite values: 'A'"),
        (lambda t: t.assign(x="text"), {}, "numbers alone"),
        (lambda t: t.iloc[:0], {}, "empty"),
        (lambda t: t.set_axis([*"VWXYZ"], axis=0), {}, "none of the screen's perturbations"),
        (lambda t: t, {"combine": "max"}, "`combine`='max' must be one of"),
        (lambda t: t, {"missing": "zero"}, "`missing`='zero' must be one of"),
        (lambda t: t.drop("A"), {"alias": {"A": "Q"}}, r"`alias` names 1 row\(s\) .*'Q'"),
        (lambda t: t.drop("A"), {"alias": {"A": "B"}}, "would share the row of 'B'"),
        (lambda t: t.drop(["A", "B"]), {"alias": {"A": "E", "B": "E"}}, "share the row of 'E'"),
    ],
)
def test_refusals(adata, table, change, arguments, match) -> None:
    before = dict(adata.uns["pertscope"])
    with pytest.raises(ValueError, match=match):
        ps.pp.add_perturbation_embedding(adata, change(table), "e", **arguments)
    assert dict(adata.uns["pertscope"]) == before


def test_files_that_are_none(adata, tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file"):
        ps.pp.add_perturbation_embedding(adata, tmp_path / "no.csv", "e")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ValueError, match=r"read csv, tsv, parquet, h5ad or npz, not '\.txt'"):
        ps.pp.add_perturbation_embedding(adata, tmp_path / "a.txt", "e")
    np.savez(tmp_path / "a.npz", names=np.array(["A"]), vectors=np.zeros((2, 3)))
    with pytest.raises(ValueError, match="1 names and 2 vectors"):
        ps.pp.add_perturbation_embedding(adata, tmp_path / "a.npz", "e")
    np.savez(tmp_path / "b.npz", x=np.zeros(2))
    with pytest.raises(ValueError, match="must hold the arrays 'names' and 'vectors'"):
        ps.pp.add_perturbation_embedding(adata, tmp_path / "b.npz", "e")
    with pytest.raises(KeyError, match="no perturbation embedding 'e'; there are none"):
        read_embedding(adata, "e")
