"""How much of a screen does an embedding need to be trained on?"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pertscope._core import keys
from pertscope._core.conditions import label_column
from pertscope._core.matrix import matrix_of
from pertscope._core.messages import listed, nearest
from pertscope._core.representation import require_batches
from pertscope._core.screen import Screen, require_actual
from pertscope.models.interruption import TrainingInterruptedWarning
from pertscope.tl._pca import pca
from pertscope.tl._scvi import scvi
from pertscope.tl._scvi_embedding import embed_scvi, keep_representation, places_of
from pertscope.tl._scvi_training import counts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anndata import AnnData


def learning_curve(
    adata: AnnData,
    embedding: str | Callable[..., np.ndarray] = "scvi",
    *,
    n_batches: Sequence[int] | None = None,
    seed: int = 0,
    key_added: str | None = None,
    **options: Any,
) -> None:
    """Train an embedding on ever more batches of a screen, and embed all cells each time.

    Batches are drawn once, in random order; ``n`` batches are the first ``n`` of that order, so
    each subset holds the one before it. Whole batches are taken, with their controls. Whether more
    of them make it better, :func:`~pertscope.ev.evaluate_representations` of its keys tells.

    Parameters
    ----------
    adata
        Registered screen with a ``batch_key``.
    embedding
        ``"scvi"`` or ``"pca"``, as :func:`~pertscope.tl.scvi` and :func:`~pertscope.tl.pca` fit
        them; or a function ``f(train, adata, **options)`` of two AnnData, the cells to train on
        and all cells, that gives vectors ``(cells, d)`` of the latter and leaves it as it is.
    n_batches
        Sizes of the subsets; by default 1, 2, 4, ... and all batches.
    seed
        Seed of the order of the batches, and of scVI or PCA.
    key_added
        First part of the keys; by default ``"X_scvi"``, ``"X_pca"`` or ``"X_"`` and the
        function's name.
    **options
        Further arguments of the embedding, such as ``layer="counts"``.

    Returns
    -------
    ``None``. Writes ``.obsm[f"{key_added}_{n}_batches"]`` ``(cells, d)`` for each size, how it was
    made to ``.uns["pertscope"]["representations"]`` (JSON, with the names of the ``batches``), and
    the DataFrame ``.uns[f"{key_added}_learning_curve"]``, one row per size: ``representation`` (the
    key in ``.obsm``), ``n_batches``, ``n_cells`` and ``n_perturbations`` (int64) trained on.

    Raises
    ------
    KeyError
        If the screen is not registered.
    ValueError
        If the screen has no batches or one, a size is none, the embedding is unknown, or what it
        gives are no finite vectors of all cells.

    Warns
    -----
    TrainingInterruptedWarning
        If it was interrupted: the subsets that were done are kept.

    References
    ----------
    Bendidi et al., Benchmarking transcriptomics foundation models for perturbation analysis
    (2024), section 5.3.

    Examples
    --------
    >>> import pertscope as ps
    >>> few = {"n_perturbations": 4, "n_cells_per_condition": 20, "n_controls": 40}
    >>> adata = ps.datasets.simulate_screen(**few, n_genes=50, n_batches=4, seed=0)
    >>> ps.pp.register(adata, batch_key="batch")
    >>> ps.tl.learning_curve(adata, n_latent=10, max_epochs=1, accelerator="cpu")
    >>> curve = adata.uns["X_scvi_learning_curve"]
    >>> curve[["representation", "n_batches", "n_cells"]]
         representation  n_batches  n_cells
    0  X_scvi_1_batches          1       90
    1  X_scvi_2_batches          2      180
    2  X_scvi_4_batches          4      360

    Then ``ps.ev.evaluate_representations(adata, list(curve["representation"]))``.
    """
    from tqdm.auto import tqdm

    embed, name = _embedding(embedding)
    key = keys.check_key(f"X_{name}" if key_added is None else key_added)
    screen = Screen.of(adata)
    batch = label_column(adata.obs, require_batches(screen))
    labels = label_column(adata.obs, screen.perturbation_key)
    order = np.random.default_rng(seed).permutation(np.unique(batch.codes))
    sizes = _sizes(n_batches, len(order))
    rows, made = [], {}
    try:
        for n in tqdm(sizes, desc="learning curve", unit="subset", leave=None):
            cells = np.isin(batch.codes, order[:n])
            train = adata[cells].to_memory()
            given = options if callable(embedding) else {"seed": seed, **options}
            made[n] = _checked(embed(train, adata, **given), adata.n_obs, name)
            seen = set(labels[cells].unique()) - {screen.control}
            rows.append(
                {
                    "representation": f"{key}_{n}_batches",
                    "n_batches": n,
                    "n_cells": int(cells.sum()),
                    "n_perturbations": len(seen),
                }
            )
    except KeyboardInterrupt:
        if not rows:
            raise
        warnings.warn(
            f"interrupted: {len(rows)} of {len(sizes)} subsets were done, and are kept.",
            TrainingInterruptedWarning,
            stacklevel=2,
        )
    require_actual(adata)
    for n, row in zip(sizes, rows, strict=False):  # fewer rows where it was interrupted
        how = {"function": "learning_curve", "embedding": name, "seed": seed}
        how["batches"] = [str(b) for b in batch.categories[order[:n]]]
        keep_representation(adata, str(row["representation"]), made[n], how)
    adata.uns[f"{key}_learning_curve"] = pd.DataFrame(rows)


def _embedding(embedding: str | Callable[..., np.ndarray]) -> tuple[Callable[..., Any], str]:
    """What embeds, and its name."""
    if callable(embedding):
        return embedding, getattr(embedding, "__name__", type(embedding).__name__)
    if embedding not in EMBEDDINGS:
        raise ValueError(
            f"`embedding`={embedding!r} is unknown; {nearest(embedding, EMBEDDINGS)}, or pass a "
            "function of the cells to train on and all cells."
        )
    return EMBEDDINGS[embedding], embedding


def _sizes(asked: Sequence[int] | None, n_batches: int) -> list[int]:
    """Numbers of batches, ascending."""
    if n_batches < 2:
        raise ValueError("the screen has one batch: a learning curve needs at least two.")
    if asked is None:
        return [*(2**i for i in range(n_batches.bit_length()) if 2**i < n_batches), n_batches]
    wrong = [n for n in asked if n % 1 != 0 or not 1 <= n <= n_batches]
    sizes = sorted({int(n) for n in asked if n not in wrong})
    if wrong or not sizes:
        raise ValueError(
            f"`n_batches` holds {listed(wrong) or 'nothing'}: sizes are whole numbers from 1 to "
            f"{n_batches}, the batches of the screen."
        )
    return sizes


def _checked(vectors: np.ndarray, n_cells: int, name: str) -> np.ndarray:
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or len(vectors) != n_cells:
        raise ValueError(f"{name!r} gave shape {vectors.shape}, not ({n_cells}, dimensions).")
    if not np.isfinite(vectors).all():
        raise ValueError(f"{name!r} gave NaN or infinite vectors; nothing was written.")
    return vectors


def _scvi(train: AnnData, adata: AnnData, **settings: Any) -> np.ndarray:
    counts = counts_of(adata, settings.get("layer"))
    model = scvi(train, **settings)
    means = embed_scvi(model, counts, places_of(model, adata, 1.0))
    model.deregister_manager(model.adata)  # scvi-tools would hold these cells for good
    return means


def _pca(train: AnnData, adata: AnnData, **settings: Any) -> np.ndarray:
    from anndata import AnnData

    pca(train, **settings)
    screen = Screen.of(adata)
    layer, by_batch = settings.get("layer") or screen.layer, settings.get("by_batch", False)
    batch_key = (settings.get("batch_key") or screen.batch_key) if by_batch else None
    # what `pca` writes, it writes beside the screen
    apart = AnnData(matrix_of(adata, layer), obs=adata.obs, var=adata.var[[]])
    pca(apart, by_batch=by_batch, batch_key=batch_key, reference=train)
    return np.asarray(apart.obsm["X_pca"])


EMBEDDINGS: dict[str, Callable[..., np.ndarray]] = {"pca": _pca, "scvi": _scvi}
