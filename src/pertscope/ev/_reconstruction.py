"""How much of the expression of unseen perturbations does a representation hold?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from pertscope._core import keys
from pertscope._core.batch_splits import drawn_sides
from pertscope._core.matrix import dense_rows, matrix_of, refuse_counts
from pertscope._core.messages import listed
from pertscope._core.representation import represented
from pertscope._core.screen import Screen, require_actual
from pertscope.ev._accuracy import seed_table
from pertscope.ev._linear_layers import fit_layers, for_each_seed
from pertscope.ev._reconstruction_scores import check_controls, reconstruction_scores

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope._core.representation import Represented


def reconstruction(
    adata: AnnData,
    use_rep: str = "X_pca",
    *,
    n_hidden: int | None = None,
    train_fraction: float = 0.7,
    held_out_fraction: float = 0.3,
    split_key: str | None = None,
    n_epochs: int = 30,
    batch_size: int = 512,
    learning_rate: float = 1e-4,
    device: str = "auto",
    n_seeds: int = 5,
    seed: int = 0,
    key_added: str = "reconstruction",
) -> None:
    r"""Decode log expression by linear layers, in unseen batches and of unseen perturbations.

    Two linear layers, one behind the other, learn to give back the registered layer (mean squared
    error, AdamW, weight decay 1e-6; the learning rate warms up from 3e-5 to 1e-4 and falls to 0 by
    a cosine) from the cells of some batches and perturbations. They are judged by perturbed cells
    of other batches and other perturbations, of which :func:`~pertscope.pp.split_batches` draws
    anew for each seed.

    Spearman's and Pearson's correlation are taken per gene over cells and averaged. Structural
    integrity is :math:`1 - D / D_{max}`, where the mean of the batch's controls is taken from
    either side, :math:`D` is the mean over batches of :math:`\|Y_{pred} - Y_{obs}\|_F / n_b`, and
    :math:`D_{max}` that of :math:`2 \|Y_{obs}\|_F / n_b`. A prediction without any difference
    between cells scores 0.5.

    Parameters
    ----------
    adata
        Registered screen with a ``batch_key`` and log expression in the registered layer.
    use_rep
        Key of ``.obsm``.
    n_hidden
        Width between the two layers; by default that of the representation.
    train_fraction
        Share of the cells that the batches of train hold.
    held_out_fraction
        Share of the perturbations that only test has.
    split_key
        Column of a split made before, in place of those draws; seeds then differ in the first
        weights alone.
    n_epochs, batch_size
        Passes over train, and cells per step.
    learning_rate
        Its highest value; a screen of few cells, whose 30 passes are few steps, may need more than
        the paper's.
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
    (int64), ``metric`` (categorical: ``spearman``, ``pearson``, ``mse``, ``mae``,
    ``structural_integrity``), ``value`` (float64), ``n_test`` (int64).

    Raises
    ------
    KeyError
        If the screen is not registered, or the representation or the split does not exist.
    ValueError
        If the layer holds counts, values are not finite, there are no or too few batches, a batch
        of test has no controls, or a split has the same perturbations on both sides.

    Notes
    -----
    All perturbed cells of a batch count; the test loop of the paper's code takes every hundredth
    mini-batch.

    References
    ----------
    Bendidi et al. (2024), section 3.6 and appendix B.3.

    Examples
    --------
    >>> import pertscope as ps, scanpy as sc
    >>> adata = ps.datasets.simulate_screen(n_perturbations=6, n_genes=50, n_batches=4, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")
    >>> ps.pp.normalize(adata)
    >>> sc.pp.pca(adata, n_comps=5)
    >>> ps.ev.reconstruction(adata, n_epochs=2, n_seeds=1)
    >>> adata.uns["reconstruction"]["metric"].tolist()
    ['spearman', 'pearson', 'mse', 'mae', 'structural_integrity']
    """
    keys.check_key(key_added)
    cells = represented(adata, use_rep, need_batches=True)
    width = cells.x.shape[1] if n_hidden is None else n_hidden
    if min(n_epochs, batch_size, width) < 1 or learning_rate <= 0:
        raise ValueError(
            "`n_epochs`, `batch_size`, `learning_rate` and `n_hidden` must be positive."
        )
    layer = Screen.of(adata).layer
    refuse_counts(adata, layer, "reconstructing log expression")
    if not 0 < held_out_fraction < 1:
        raise ValueError(f"`held_out_fraction`={held_out_fraction} must lie between 0 and 1.")
    expression = matrix_of(adata, layer)
    if sp.issparse(expression):
        expression = expression.tocsr()  # rows are taken out
    sides = drawn_sides(
        adata,
        cells,
        split_key=split_key,
        train_fraction=train_fraction,
        held_out_fraction=held_out_fraction,
        seeds=range(seed, seed + n_seeds),
    )

    def judge(seed: int, train: np.ndarray, test: np.ndarray) -> list[dict[str, object]]:
        _check_unseen(cells, train, test)
        check_controls(cells.batch[test], cells.is_control[test], cells.batches)
        layers = fit_layers(
            cells.x[train],
            _Targets(expression, train),
            widths=[width, adata.n_vars],
            loss="mse_loss",
            peak=learning_rate,
            n_epochs=n_epochs,
            batch_size=batch_size,
            seed=seed,
            device=device,
        )
        found = reconstruction_scores(
            _rows(expression, test),
            _Prediction(cells.x[test], layers),
            cells.batch[test],
            cells.is_control[test],
        )
        n_test = int((~cells.is_control[test]).sum())
        return [
            {"seed": seed, keys.METRIC: name, keys.VALUE: value, "n_test": n_test}
            for name, value in found.items()
        ]

    rows = for_each_seed(judge, sides, device=device)
    require_actual(adata)
    adata.uns[key_added] = seed_table(rows)


def _check_unseen(cells: Represented, train: np.ndarray, test: np.ndarray) -> None:
    """Refuse a split that trains on the perturbations it tests."""
    both = np.intersect1d(cells.perturbation[train], cells.perturbation[test])
    both = both[both != cells.control]
    if len(both):
        raise ValueError(
            f"{len(both)} perturbation(s) are in train and in test: {listed(cells.names[both])}. "
            "Make the split with `ps.pp.split_batches(adata, held_out_fraction=0.3)`."
        )


class _Targets:
    """Expression of some of the rows of train, float32 ``(n, genes)``, CSR if it is in memory."""

    def __init__(self, expression: Any, train: np.ndarray) -> None:
        self.expression = expression
        self.train = train

    def __call__(self, rows: np.ndarray) -> Any:
        if sp.issparse(self.expression):
            return self.expression[self.train[rows]]
        order = np.argsort(rows)  # files are read in order
        found = np.empty((len(rows), self.expression.shape[1]), np.float32)
        found[order] = dense_rows(self.expression, self.train[rows[order]])
        return found


class _Prediction:
    """Decoded expression of some genes, float64 ``(cells, n)``."""

    def __init__(self, x: np.ndarray, layers: list[tuple[np.ndarray, np.ndarray]]) -> None:
        (weight, bias), self.last = layers
        self.hidden = x @ weight + bias

    def __call__(self, genes: slice) -> np.ndarray:
        weight, bias = self.last
        return np.asarray(self.hidden @ weight[:, genes] + bias[genes])


def _rows(expression: Any, rows: np.ndarray) -> Any:
    """Some rows of the expression matrix, in memory, sparse if they are."""
    block = expression[rows]
    return block.compute() if hasattr(block, "compute") else block
