"""Populations of cells for the tests of distances, and their kinds of matrix."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

KINDS = {
    "dense": lambda x: x,
    "float32": lambda x: x.astype(np.float32),
    "csr": sp.csr_matrix,
    "csr array": sp.csr_array,
}


def two_populations(rng, n: int = 30, m: int = 21, d: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Log-like values, about half of them 0, that float32 holds exactly."""
    x = rng.poisson(0.7, (n, d)) * rng.integers(1, 9, (n, d)) / 4
    y = rng.poisson(1.0, (m, d)) * rng.integers(1, 9, (m, d)) / 4
    return x, y
