"""Vectors that say nothing: what an embedding is worth is what it has over these."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope.tl._embedding_table import check_n_dims, embedding_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd


def embed_random(names: Iterable[str], n_dims: int = 100, *, seed: int = 0) -> pd.DataFrame:
    """Draw a random vector for each name, the control of every other embedding.

    Each value is drawn from ``U[0, 1]``.

    Parameters
    ----------
    names
        Genes or compounds, each once.
    n_dims
        Dimensions.
    seed
        Seed of the draws.

    Returns
    -------
    float32 ``(names, dimensions)``, for :func:`pertscope.pp.add_perturbation_embedding`.

    Raises
    ------
    TypeError
        If `names` is one string.
    ValueError
        If a name occurs twice, there is none, or `n_dims` is less than 1.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction (2025).

    Examples
    --------
    >>> import pertscope as ps
    >>> ps.tl.embed_random(["BRAF", "MYC"], 3).shape
    (2, 3)
    """
    check_n_dims(n_dims)
    names = names if isinstance(names, str) else list(names)
    return embedding_table(names, np.random.default_rng(seed).random((len(names), n_dims)))
