"""Equations 10 and 11."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import pertscope as ps


def test_fixed_genes_are_averaged_over_cells():
    rng = np.random.default_rng(0)
    genes, z = ["B", "A", "C"], rng.standard_normal((7, 3, 5))
    got = ps.tl.aggregate_gene_embeddings((genes, z[i : i + 3]) for i in range(0, 7, 3))
    assert list(got.index) == ["A", "B", "C"]
    np.testing.assert_allclose(got, z.mean(axis=0)[[1, 0, 2]], rtol=1e-6, atol=1e-7)
    assert set(got.dtypes) == {np.dtype(np.float32)}


@given(st.integers(0, 1000), st.integers(1, 5))
def test_genes_of_each_cell_are_averaged_where_they_are(seed, batch):
    rng = np.random.default_rng(seed)
    vocabulary = np.array([*"ABCDEFG", ""])
    names = np.array([rng.permutation(vocabulary)[:4] for _ in range(8)])
    z = rng.standard_normal((8, 4, 3)).astype(np.float32)
    found: dict[str, list[np.ndarray]] = {}
    for i in range(8):
        for j in range(4):
            if names[i, j]:
                found.setdefault(str(names[i, j]), []).append(z[i, j])
    expected = pd.DataFrame({g: np.mean(v, axis=0) for g, v in sorted(found.items())}).T
    batches = [(names[i : i + batch], z[i : i + batch]) for i in range(0, 8, batch)]
    got = ps.tl.aggregate_gene_embeddings(batches)
    assert list(got.index) == list(expected.index)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    few = [g for g, v in found.items() if len(v) < 2]
    if few and len(few) < len(found):
        with pytest.warns(UserWarning, match="fewer than 2 cells hold them"):
            got = ps.tl.aggregate_gene_embeddings(batches, min_cells=2)
        assert set(got.index) == set(found) - set(few)


def test_tensors():
    z = torch.arange(12.0).reshape(2, 2, 3)
    got = ps.tl.aggregate_gene_embeddings([(["A", "B"], z)])
    np.testing.assert_array_equal(got, z.mean(dim=0))


@pytest.mark.parametrize(
    ("batches", "match"),
    [
        ([], "of 0 gene"),
        ([(["A"], np.zeros((2, 2)))], "batch 0: vectors must be"),
        ([(["A"], np.zeros((2, 2, 3)))], r"batch 0: genes are \(1,\)"),
        ([([["A", "B"]], np.zeros((2, 2, 3)))], r"batch 0: genes are \(1, 2\)"),
        ([(["A", "A"], np.zeros((2, 2, 3)))], "a cell holds 'A' twice"),
        ([(["A"], np.full((2, 1, 3), np.nan))], "NaN"),
        ([(["A"], np.zeros((1, 1, 3))), (["A"], np.zeros((1, 1, 4)))], "batch 1 has vectors of 4"),
        ([([[""]], np.zeros((1, 1, 3)))], "of 0 gene"),
    ],
)
def test_refuses(batches, match):
    with pytest.raises(ValueError, match=match):
        ps.tl.aggregate_gene_embeddings(batches)


def test_too_few_cells():
    with pytest.raises(ValueError, match="none is held by 3 cell"):
        ps.tl.aggregate_gene_embeddings([(["A"], np.zeros((2, 1, 3)))], min_cells=3)
