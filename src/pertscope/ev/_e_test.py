"""Which perturbations move cells at all?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from pertscope._core import keys
from pertscope._core.gene_test import adjust_p_values
from pertscope._core.messages import nearest
from pertscope._core.screen import require_actual
from pertscope.ev._comparison import Options
from pertscope.ev._judged import observe
from pertscope.ev._permutation_test import e_test as permute
from pertscope.ev._statistics import project

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope.ev._judged import Judged

E_DISTANCE, P_VALUE, P_ADJUSTED, N_CELLS = "e_distance", "p_value", "p_adjusted", "n_cells"


def e_test(
    adata: AnnData,
    *,
    use_rep: str | None = None,
    n_permutations: int = 1000,
    metric: str = "sqeuclidean",
    n_components: int = 50,
    seed: int = 0,
    key_added: str = "e_test",
) -> None:
    """Test every condition against its matched controls by the permutation E-test.

    ``E = 2 E|x - y| - E|x - x'| - E|y - y'|`` between cells x of the condition and y of its
    controls; ``p = (1 + #{permuted >= observed}) / (1 + n_permutations)``, labels being permuted
    among the cells of both. P-values are adjusted over all conditions by Benjamini and Hochberg.

    Parameters
    ----------
    adata
        Registered screen; in memory, backed or dask.
    use_rep
        Key of ``.obsm`` that holds the cells; by default a PCA of the registered layer.
    n_permutations
        Permutations per condition.
    metric
        ``"sqeuclidean"``, as scPerturb, or ``"euclidean"``, which also sees differences that leave
        the mean where it is.
    n_components
        Components of the PCA where `use_rep` is ``None``.
    seed
        Seed of the permutations.
    key_added
        Key of the table.

    Returns
    -------
    ``None``. Writes ``.uns[key_added]``, a DataFrame with one row per condition: the covariates,
    ``perturbation`` (categorical), ``n_cells`` (int64), ``e_distance``, ``p_value``,
    ``p_adjusted`` (float64).

    Raises
    ------
    KeyError
        If the screen is not registered, or ``.obsm`` has no `use_rep`.
    ValueError
        If an option is unknown, values are NaN or infinite, or controls are missing.

    References
    ----------
    Peidli et al., scPerturb, Nature Methods 21 (2024); Székely and Rizzo, J. Stat. Plan. Inference
    143 (2013). scPerturb's p-values have no ``+ 1`` and can be 0.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.ev.e_test(adata, n_permutations=100)
    >>> adata.uns["e_test"].columns[-3:].tolist()
    ['e_distance', 'p_value', 'p_adjusted']
    """
    keys.check_key(key_added)
    judged = observe(adata, None)
    cells = _cells(adata, judged, use_rep, Options(n_components=n_components, seed=seed))
    side, context = judged.side, judged.conditions.context
    found = np.full((2, len(judged.rows)), np.nan)
    for c in np.unique(context):
        here = np.flatnonzero(context == c)
        found[:, here] = permute(
            cells,
            [side.populations.rows(group) for group in side.groups[here]],
            side.populations.rows(side.control_groups[here[0]]),
            n_permutations=n_permutations,
            metric=metric,
            seed=(seed, int(c)),
        )
    screen = judged.all_conditions.screen
    table = judged.conditions.table.rename(columns={screen.perturbation_key: keys.PERTURBATION})
    table = table.astype("category").assign(
        **{
            N_CELLS: judged.all_conditions.n_cells[judged.rows],
            E_DISTANCE: found[0],
            P_VALUE: found[1],
            P_ADJUSTED: adjust_p_values(found[1]),
        }
    )
    table.index = table.index.astype(str)
    require_actual(adata)
    adata.uns[key_added] = table


def _cells(adata: AnnData, judged: Judged, use_rep: str | None, options: Options) -> np.ndarray:
    """Representation of all cells, dense ``(cells, d)``; rows that are not used are 0."""
    if use_rep is not None:
        if use_rep not in adata.obsm:
            raise KeyError(f"`.obsm` has no {use_rep!r}; {nearest(use_rep, adata.obsm)}.")
        x = adata.obsm[use_rep]
        return np.asarray(x.toarray() if sp.issparse(x) else x)
    of = judged.side.populations
    parts = []
    groups = np.union1d(judged.side.groups, judged.side.control_groups)
    for group in groups:
        rows = of.rows(group)
        parts.append((rows, project(of.cells(group), judged.side, options)))
    cells = np.zeros((len(of.codes), parts[0][1].shape[1]))
    for rows, projected in parts:
        cells[rows] = projected
    return cells
