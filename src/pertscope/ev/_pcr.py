"""Principal component regression: how much variance do batches explain?"""

from __future__ import annotations

from typing import Any

import numpy as np

from pertscope._core.moments import moments


def explained_by_batch(x: Any, batch: np.ndarray) -> float:
    """Share of the variance of all principal components that the batch explains.

    ``sum_k var_k R2_k / sum_k var_k`` over the components k, R2_k being that of the regression of
    component k on the batch. It is the sum of squares between batches over the total one, whatever
    the axes, so that no component is computed; 0 where nothing varies.

    Parameters
    ----------
    x
        ``(cells, d)``: dense, sparse, backed or dask; read once, never made dense.
    batch
        Batch of each cell, int64 ``(cells,)``; codes without gaps.

    References
    ----------
    Büttner et al., Nature Methods 16 (2019).
    """
    found = moments(x, batch, int(batch.max()) + 1)
    whole = found.pool(np.zeros(len(found.n), np.int64), 1).m2.sum()
    return float(1 - found.m2.sum() / whole) if whole > 0 else 0.0
