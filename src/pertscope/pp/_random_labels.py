"""The floor of a representation: the same vectors, given to other cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core import keys
from pertscope._core.representation import representation_of
from pertscope._core.screen import require_actual

if TYPE_CHECKING:
    from anndata import AnnData


def random_labels(
    adata: AnnData,
    use_rep: str | None = "X_pca",
    *,
    seed: int = 0,
    key_added: str = "X_random_labels",
) -> None:
    """Give the vectors of a representation to cells at random.

    Perturbation, control and batch then say nothing about the vector of a cell, while the vectors
    themselves stay what they were. What a metric makes of it is its floor.

    Parameters
    ----------
    adata
        Screen.
    use_rep
        Key of ``.obsm``; ``None`` is the registered layer, as of image profiles.
    seed
        Seed of the permutation.
    key_added
        Key of ``.obsm`` that is written.

    Returns
    -------
    ``None``. Writes ``.obsm[key_added]``, the rows in random order.

    Raises
    ------
    KeyError
        If ``.obsm`` has no `use_rep`.
    ValueError
        If it holds NaN or infinite values.

    References
    ----------
    Bendidi et al. (2024), the column "Rand. Labels" of Table 2.

    Examples
    --------
    >>> import numpy as np, pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> adata.obsm["X_rep"] = np.arange(adata.n_obs)[:, None].astype(float)
    >>> ps.pp.random_labels(adata, "X_rep", seed=0)
    >>> sorted(adata.obsm["X_random_labels"].ravel()) == list(range(adata.n_obs))
    True
    """
    keys.check_key(key_added)
    x = representation_of(adata, use_rep)
    order = np.random.default_rng(seed).permutation(len(x))
    require_actual(adata)
    adata.obsm[key_added] = x[order]
