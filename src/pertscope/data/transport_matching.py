"""Match cells to controls by optimal transport."""

from __future__ import annotations

from typing import Any

import numpy as np
from tqdm.auto import tqdm

from pertscope.data.matching import Matching

MAX_CELLS_OF_PCA = 20_000
MAX_CELLS, MAX_CONTROLS = 1024, 2048
"""Of one plan: what is larger is cut into random parts."""


def transport_matching(
    x: Any,
    perturbed: np.ndarray,
    condition: np.ndarray,
    controls: dict[int, np.ndarray],
    *,
    seed: int,
    n_components: int = 50,
) -> Matching:
    r"""Match by the plan that moves all controls onto the perturbed cells by the shortest way.

    .. math::
        \min_{T \geq 0} \sum_{ij} T_{ij} \lVert u_i - v_j \rVert^2, \qquad
        T 1 = \tfrac 1 n 1, \quad T^\top 1 = \tfrac 1 m 1

    for each condition, with principal components u of its n cells and v of their m controls. A
    cell is matched to control j with probability :math:`n T_{ij}`.

    Parameters
    ----------
    x
        Cells x genes, in memory: CSR, CSC or dense.
    perturbed
        Rows of the perturbed cells, int64.
    condition
        Condition of each of them, int64.
    controls
        Rows of the control cells that match each condition.
    seed
        Seed of the principal components and of the parts.
    n_components
        Principal components.
    """
    import ot

    rng = np.random.default_rng(seed)
    used = np.unique(np.concatenate([perturbed, *controls.values()]))
    project = _principal_components(x, used, n_components, rng)
    pool: list[np.ndarray] = [np.empty(0)] * len(perturbed)
    share: list[np.ndarray] = [np.empty(0)] * len(perturbed)
    for code in tqdm(np.unique(condition), desc="matching", unit="condition", leave=False):
        cells = rng.permutation(np.flatnonzero(condition == code))
        for part in np.array_split(cells, -(-len(cells) // MAX_CELLS)):
            there = controls[int(code)]
            if len(there) > MAX_CONTROLS:
                there = rng.choice(there, MAX_CONTROLS, replace=False)
            cost = ot.dist(project(perturbed[part]), project(there))
            plan = ot.emd([], [], cost, numItermax=1_000_000)
            for i, cell in enumerate(part):
                chosen = np.flatnonzero(plan[i])
                pool[cell] = there[chosen]
                share[cell] = np.cumsum(plan[i, chosen]) / plan[i, chosen].sum() + cell
    size = np.array([len(p) for p in pool])
    return Matching(np.concatenate(pool), np.cumsum(size) - size, size, np.concatenate(share))


def _principal_components(
    x: Any, used: np.ndarray, n_components: int, rng: np.random.Generator
) -> Any:
    """Projection of rows onto the principal components of the used ones."""
    from sklearn.decomposition import PCA

    n = min(n_components, len(used) - 1, x.shape[1] - 1)
    sample = x[np.sort(rng.choice(used, min(len(used), MAX_CELLS_OF_PCA), replace=False))]
    if n < 1:  # one gene, or hardly a cell
        return lambda rows: np.asarray(x[rows].todense() if hasattr(x, "todense") else x[rows])
    seed = int(rng.integers(2**31))
    pca = PCA(n, svd_solver="arpack", random_state=seed).fit(sample.astype(np.float64))
    shift = pca.mean_ @ pca.components_.T
    return lambda rows: np.asarray(x[rows] @ pca.components_.T - shift)
