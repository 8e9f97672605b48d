"""Representations are read, or refused with a reason."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from tests.ev.embedded import make_embedded
from tests.helpers import refused

import pertscope as ps
from pertscope._core.representation import representation_of, represented, sums_by_group


def test_labels() -> None:
    adata = make_embedded(3)
    cells = represented(adata, "X_rep")
    assert cells.names[cells.perturbation].tolist() == adata.obs["perturbation"].tolist()
    assert cells.batches[cells.batch].tolist() == adata.obs["batch"].tolist()
    assert (cells.is_control == (adata.obs["perturbation"] == "control")).all()
    ps.pp.register(adata)
    assert represented(adata, "X_rep").batches.tolist() == ["all"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.float16])
def test_kinds(dtype) -> None:
    adata = make_embedded(3)
    x = np.round(adata.obsm["X_rep"]).astype(dtype)
    for kind in (x, sp.csr_matrix(x.astype(np.float32))):
        adata.obsm["X_rep"] = kind
        found = representation_of(adata, "X_rep")
        assert found.dtype in (np.float32, np.float64)
        assert (found == x).all()
    assert (representation_of(adata, None) == adata.X).all()


def test_sums() -> None:
    rng = np.random.default_rng(0)
    x, codes = rng.normal(size=(50, 3)).astype(np.float32), rng.integers(-1, 4, 50)
    expected = [x[codes == g].astype(float).sum(axis=0) for g in range(5)]
    np.testing.assert_allclose(sums_by_group(x, codes, 5), expected)


def test_refusals() -> None:
    adata = make_embedded(3)
    adata.obsm["X_empty"] = np.zeros((adata.n_obs, 0))
    with refused(adata, ValueError, r"`.obsm\['X_empty'\]` has shape .*\(cells, dimensions\)"):
        ps.pp.random_labels(adata, "X_empty")
    adata.X = sp.csr_matrix(adata.X)
    with refused(adata, ValueError, "registered layer is sparse"):
        ps.pp.random_labels(adata, None)
