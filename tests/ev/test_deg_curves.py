"""Recovery of significant genes: against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from pertscope.ev._deg_agreement import rank_genes
from pertscope.ev._deg_curves import evidence, pr_auc, roc_auc

NAN = np.nan


@given(st.integers(0, 999), st.integers(1, 30), st.integers(1, 40))
def test_aucs(seed, n_genes, n_values) -> None:
    """Against scikit-learn, with ties; NaN for one class."""
    rng = np.random.default_rng(seed)
    p_adjusted = 10.0 ** -rng.integers(0, n_values, (3, n_genes))
    sig = rng.random((3, n_genes)) < rng.choice([0, 0.3, 1], (3, 1))
    score = evidence(p_adjusted)
    order = rank_genes(score, np.ones_like(sig))
    for auc, oracle in ((pr_auc, average_precision_score), (roc_auc, roc_auc_score)):
        want = [
            oracle(s, x) if 0 < s.sum() < n_genes else NAN for s, x in zip(sig, score, strict=True)
        ]
        np.testing.assert_allclose(auc(order, sig), want, rtol=1e-12)


def test_evidence() -> None:
    p = np.array([[0, 1e-12, 1e-10, 0.1, 1, NAN]])
    np.testing.assert_allclose(evidence(p), [[10, 10, 10, 1, 0, 0]], atol=1e-12)
    single = evidence(p, single=True)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, evidence(p), rtol=1e-6)


@pytest.mark.parametrize("auc", [pr_auc, roc_auc])
def test_an_order_of_some_genes_is_refused(auc) -> None:
    some = rank_genes(np.ones((1, 3)), np.eye(1, 3, dtype=bool))
    with pytest.raises(ValueError, match="the order of all genes"):
        auc(some, np.ones((1, 3), bool))
