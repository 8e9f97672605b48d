"""Which genes each condition moves, as a screen of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.matrix import refuse_counts
from pertscope._core.screen import Screen
from pertscope._core.t_test import VARIANTS
from pertscope.tl._effect_screen import effect_screen, require_kept

if TYPE_CHECKING:
    from anndata import AnnData

BATCHES, POOLED = "batches", "pooled"
BY = (BATCHES, POOLED)


def deg_labels(
    adata: AnnData,
    *,
    test: str = "t-test",
    by: str = "batches",
    min_cells: int = 30,
    fdr: float = 0.05,
) -> AnnData:
    """Label every gene of every condition: down (-1), unchanged (0) or up (1), as a screen.

    In each batch, genes are tested against the controls of that batch; those whose p-value,
    adjusted by Benjamini and Hochberg within condition and batch, is below `fdr` get the sign of
    their score. The label is that of most batches: a tie of unchanged and one direction is that
    direction, a tie of both directions is unchanged. Without a registered ``batch_key``, and
    with ``by="pooled"``, all cells are one batch.

    Parameters
    ----------
    adata
        Registered screen on a log or standardised scale, in memory, backed or dask.
    test
        ``"t-test"``, Welch's, or ``"t-test_overestim_var"``.
    by
        ``"batches"``: the majority of the batches. ``"pooled"``: all cells of a condition against
        all its controls, for batches that hold few cells of a condition each.
    min_cells
        Cells of a condition, and controls, that a batch must hold to have a vote; at least 2.
    fdr
        False discovery rate.

    Returns
    -------
    AnnData ``(conditions, genes)``, int8, in all else as :func:`pertscope.tl.effects` returns it.
    Each combination of covariates has one row of zeros, its control.

    Raises
    ------
    KeyError
        If `adata` is not registered.
    ValueError
        If the screen holds counts, the test is unknown, or no condition has enough cells in a
        batch.

    Warns
    -----
    UserWarning
        If conditions are left out, because no batch has enough of their cells.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction, section 4.2.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")
    >>> ps.pp.normalize(adata)
    >>> labels = ps.tl.deg_labels(adata, min_cells=10)
    >>> sorted(set(labels.X.ravel().tolist()))
    [-1, 0, 1]
    """
    from pertscope.ev._batch_labels import labels_by_batches
    from pertscope.ev._comparison import Options
    from pertscope.ev._judged import observe

    if test not in VARIANTS:
        raise ValueError(f"`test`={test!r} must be one of {VARIANTS}.")
    if by not in BY:
        raise ValueError(f"`by`={by!r} must be one of {BY}.")
    if min_cells < 2:
        raise ValueError(f"`min_cells`={min_cells} must be at least 2: a test needs two.")
    if not 0 < fdr < 1:
        raise ValueError(f"`fdr`={fdr} must lie between 0 and 1.")
    refuse_counts(adata, Screen.of(adata).layer, "`deg_labels`")
    observed = observe(adata, None)
    side = observed.side
    needed = f"{min_cells} cells, and as many controls"
    if side.populations.batch is not None and by == BATCHES:
        needed += f", in one batch (by={POOLED!r} takes all batches as one)"
    else:
        one = replace(side.populations, batch=np.zeros(len(side.populations.codes), np.int64))
        side = replace(side, populations=one, controls=one)
    options = Options(alpha=fdr, min_cells=min_cells)
    labels, known = labels_by_batches(observed.compare(side, options), side, test)
    require_kept(observed.all_conditions, observed.rows, known, needed)
    return effect_screen(adata, observed.all_conditions, labels[known], observed.rows[known])
