"""Fit :class:`pertscope.models.EmbeddingRegression`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope.tl._train_and_predict import train_and_predict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from pertscope.models.response.embedding_regression import EmbeddingRegression


def fit_embedding_regression(
    adata: AnnData,
    *,
    perturbation_embedding: str | Sequence[str],
    regressor: str = "knn",
    join: str = "concat",
    n_components: int = 100,
    n_neighbors: Sequence[int] = (20, 40, 60, 80, 100),
    metric: str = "l2",
    weights: str = "uniform",
    penalties: Sequence[float] | None = None,
    l1_ratio: float = 0.5,
    n_hidden: int = 256,
    n_inner_folds: int = 5,
    seed: int = 0,
    key_added: str = "embedding_regression",
) -> EmbeddingRegression:
    """Predict perturbations never tried by regression of effects on embeddings.

    Nearest neighbours, linear regressions with and without penalties, or a small network; of labels
    logistic regression. See :class:`pertscope.models.EmbeddingRegression`.

    Parameters
    ----------
    adata
        Registered, split screen (:func:`pertscope.pp.split_unseen`): of cells on a log or
        standardised scale, or of effects (:func:`pertscope.tl.effects`).
    perturbation_embedding
        Name of an embedding (:func:`pertscope.pp.add_perturbation_embedding`), or several names.
    regressor
        ``"knn"``, ``"ridge"``, ``"lasso"``, ``"elastic_net"``, ``"bilinear"``, ``"linear"``
        or ``"mlp"``; of labels (:func:`pertscope.tl.deg_labels`) ``"logistic"``.
    join
        What several embeddings become: ``"concat"`` puts their components side by side;
        ``"stack"`` gives each a regression of its own and weighs what they predict.
    n_components
        Most principal components of an embedding.
    n_neighbors
        Numbers of neighbours to choose from; no more than there are.
    metric
        Which neighbours are near: ``"l2"`` or ``"cosine"`` of the components, or ``"tanimoto"`` of
        the vectors as they are, for fingerprints.
    weights
        ``"uniform"``, or ``"distance"``: neighbours count by 1 / distance.
    penalties
        Penalties to choose from; by default 1e-7, 1e-5, 1e-3, 0.1 and 1 of ``"logistic"``, and
        powers of ten from 1e-3 to 100 of the others.
    l1_ratio
        Share of the absolute penalty of ``"elastic_net"``.
    n_hidden
        Width of the network.
    n_inner_folds
        Folds of the training conditions by which neighbours or penalty are chosen.
    seed
        Seed of these folds, and of the network.
    key_added
        Name of the prediction.

    Returns
    -------
    The trained model. Writes its prediction of the val and test conditions to
    ``.uns["pertscope"]["predictions"][key_added]``, an AnnData ``(conditions, genes)``, float32.

    Raises
    ------
    KeyError
        If the screen is not registered or not split, or has no such embedding.
    TypeError
        If `n_neighbors` or `penalties` is no list.
    ValueError
        If it holds counts, the train part is empty, a setting cannot be, none of the training or of
        the held-out conditions has a vector, or ``"logistic"`` meets effects that are no labels.

    Warns
    -----
    UserWarning
        If conditions have no vector: they are left out in training, and predicted by the mean.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> genes = sorted(set(adata.obs["perturbation"]) - {"control"})
    >>> table = pd.DataFrame(np.random.default_rng(0).random((8, 3)), index=genes)
    >>> ps.pp.add_perturbation_embedding(adata, table, "random")  # doctest: +ELLIPSIS
    random: ...
    >>> ps.pp.split_unseen(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.tl.fit_embedding_regression(adata, perturbation_embedding="random")
    >>> ps.get.prediction(adata, "embedding_regression").n_vars
    50
    """
    from pertscope.models.response.embedding_regression import EmbeddingRegression

    return train_and_predict(
        adata,
        lambda screen: EmbeddingRegression(
            screen,
            perturbation_embedding=perturbation_embedding,
            regressor=regressor,
            join=join,
            n_components=n_components,
            n_neighbors=n_neighbors,
            metric=metric,
            weights=weights,
            penalties=penalties,
            l1_ratio=l1_ratio,
            n_hidden=n_hidden,
            n_inner_folds=n_inner_folds,
            seed=seed,
        ),
        key_added,
    )
