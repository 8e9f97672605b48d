"""Can a linear layer tell perturbations apart in batches that it has not seen?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core import keys
from pertscope._core.batch_splits import drawn_sides, with_same_labels
from pertscope._core.representation import represented
from pertscope._core.screen import require_actual
from pertscope.ev._accuracy import TOP, accuracies, seed_table
from pertscope.ev._linear_layers import fit_layers, for_each_seed

if TYPE_CHECKING:
    from anndata import AnnData

BLOCK_VALUES = 2**24
"""Scores that are held at a time."""


def linear_probe(
    adata: AnnData,
    use_rep: str | None = "X_pca",
    *,
    train_fraction: float = 0.7,
    split_key: str | None = None,
    n_epochs: int = 250,
    batch_size: int = 2048,
    learning_rate: float = 1e-3,
    device: str = "auto",
    n_seeds: int = 5,
    seed: int = 0,
    key_added: str = "linear_probe",
) -> None:
    """Classify perturbations of cells in unseen batches by one linear layer.

    Batches are drawn for train and test as :func:`~pertscope.pp.split_batches` draws them, anew
    for each seed; both sides have the same perturbations, controls are left out. Cross-entropy,
    AdamW (weight decay 1e-6), learning rate from 3e-5 to 1e-3 in 10 epochs, then cosine to 0. The
    representation is taken as it is: dimensions are not scaled.

    Parameters
    ----------
    adata
        Registered screen with a ``batch_key``.
    use_rep
        Key of ``.obsm``; ``None`` is the registered layer, as of image profiles.
    train_fraction
        Share of the cells that the batches of train hold.
    split_key
        Column of a split made before, in place of those draws; seeds then differ in the first
        weights alone.
    n_epochs, batch_size
        Passes over train, and cells per step.
    learning_rate
        Its highest value.
    device
        ``"auto"`` trains on a GPU where there is one; otherwise a name that torch knows.
    n_seeds
        Number of seeds, counted from `seed`.
    seed
        First seed.
    key_added
        Key of the table.

    Returns
    -------
    ``None``. Writes ``.uns[key_added]``, a DataFrame with one row per seed and metric: ``seed``
    (int64), ``metric`` (categorical: ``top1_accuracy``, ``top5_accuracy``,
    ``balanced_accuracy``), ``value`` (float64), ``n_labels``, ``n_test`` (int64).

    Raises
    ------
    KeyError
        If the screen is not registered, or the representation or the split does not exist.
    ValueError
        If values are not finite, there are no or too few batches, or fewer than two perturbations
        occur on both sides.

    References
    ----------
    Bendidi et al. (2024), sections 3.2 and 4, and their appendix on training.

    Examples
    --------
    >>> import pertscope as ps, scanpy as sc
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, n_batches=4, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")
    >>> ps.pp.normalize(adata)
    >>> sc.pp.pca(adata, n_comps=5)
    >>> ps.ev.linear_probe(adata, n_epochs=20, n_seeds=1)
    >>> adata.uns["linear_probe"]["metric"].tolist()
    ['top1_accuracy', 'top5_accuracy', 'balanced_accuracy']
    """
    keys.check_key(key_added)
    if min(n_epochs, batch_size) < 1 or learning_rate <= 0:
        raise ValueError("`n_epochs`, `batch_size` and `learning_rate` must be positive.")
    cells = represented(adata, use_rep, need_batches=True)
    sides = drawn_sides(
        adata,
        cells,
        split_key=split_key,
        train_fraction=train_fraction,
        held_out_fraction=0,
        seeds=range(seed, seed + n_seeds),
    )

    def judge(seed: int, train: np.ndarray, test: np.ndarray) -> list[dict[str, object]]:
        train, test, labels = with_same_labels(cells, train, test, drop_controls=True)
        codes = np.searchsorted(labels, cells.perturbation)
        ((weight, bias),) = fit_layers(
            cells.x[train],
            codes[train].__getitem__,
            widths=[len(labels)],
            loss="cross_entropy",
            peak=learning_rate,
            n_epochs=n_epochs,
            batch_size=batch_size,
            seed=seed,
            device=device,
        )
        found = accuracies(_ranked(cells.x, test, weight, bias), codes[test])
        return [
            {
                "seed": seed,
                keys.METRIC: name,
                keys.VALUE: value,
                "n_labels": len(labels),
                "n_test": len(test),
            }
            for name, value in found.items()
        ]

    rows = for_each_seed(judge, sides, device=device)
    require_actual(adata)
    adata.uns[key_added] = seed_table(rows)


def _ranked(x: np.ndarray, rows: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The best labels of each row, int64 ``(rows, 5 or fewer)``; of equal ones the first."""
    n_labels = weight.shape[1]
    ranked = np.empty((len(rows), min(TOP, n_labels)), np.int64)
    step = max(1, BLOCK_VALUES // n_labels)
    for start in range(0, len(rows), step):
        scores = x[rows[start : start + step]] @ weight + bias
        order = np.argsort(-scores, axis=1, kind="stable")
        ranked[start : start + step] = order[:, : ranked.shape[1]]
    return ranked
