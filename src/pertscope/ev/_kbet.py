"""kBET: do neighbourhoods hold the batches in the proportions of the whole screen?"""

from __future__ import annotations

import numpy as np


def kbet(indices: np.ndarray, batch: np.ndarray, *, alpha: float = 0.05) -> float:
    """Share of cells whose neighbours have the batches of the whole screen.

    For each cell ``X = sum_b (o_b - k f_b)^2 / (k f_b)`` with o_b the neighbours in batch b, of k,
    and f_b the share of batch b; accepted where the chi-square test with B - 1 degrees of freedom
    has ``p >= alpha``.

    Parameters
    ----------
    indices
        Neighbours of each cell, int64 ``(cells, k)``.
    batch
        Batch of each cell, int64 ``(cells,)``; codes without gaps.
    alpha
        Level of the tests.

    References
    ----------
    Büttner et al., Nature Methods 16 (2019): the acceptance rate, without its search for k.
    """
    from scipy.special import chdtrc

    n, k = indices.shape
    n_batches = int(batch.max()) + 1
    expected = k * np.bincount(batch, minlength=n_batches) / n
    places = batch[indices] + n_batches * np.arange(n)[:, None]
    observed = np.bincount(places.ravel(), minlength=n * n_batches).reshape(n, n_batches)
    statistic = ((observed - expected) ** 2 / expected).sum(axis=1)
    return float((chdtrc(n_batches - 1, statistic) >= alpha).mean())
