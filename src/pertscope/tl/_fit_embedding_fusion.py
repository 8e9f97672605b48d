"""Fit :class:`pertscope.models.EmbeddingFusion`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pertscope.tl._train_and_predict import train_and_predict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from pertscope.models.response.embedding_fusion.model import EmbeddingFusion


def fit_embedding_fusion(
    adata: AnnData,
    *,
    perturbation_embedding: str | Sequence[str],
    kind: str = "simple",
    covariates: str = "added",
    n_dims: int = 100,
    n_layers: int | None = None,
    n_heads: int | None = None,
    dropout: float = 0.1,
    drop_useless: bool = True,
    seed: int = 0,
    key_added: str = "embedding_fusion",
    **train_kwargs: Any,
) -> EmbeddingFusion:
    """Predict perturbations never tried by attention among several embeddings of them.

    Trains on all combinations of covariates at once; see
    :class:`pertscope.models.EmbeddingFusion`.

    Parameters
    ----------
    adata
        Registered, split screen (:func:`pertscope.pp.split_unseen`): of cells on a log or
        standardised scale, or of effects (:func:`pertscope.tl.effects`).
    perturbation_embedding
        Names of embeddings (:func:`pertscope.pp.add_perturbation_embedding`), or one name.
    kind
        ``"simple"``, or ``"full"``, which reads contexts from their controls and learns to
        reconstruct the embeddings as well.
    covariates
        Of ``"simple"``: ``"added"`` to all tokens, or a ``"token"``.
    n_dims
        Length of a token.
    n_layers, n_heads
        Blocks and heads of the transformer; by default 4 and 5, or 8 and 10 of ``"full"``.
    dropout
        Share of a token dropped in training.
    drop_useless
        Leave out embeddings from which a stack of ridge regressions takes nothing;
        ``model.fused`` names the others.
    seed
        Seed of weights, order, dropout, and of the perturbations to validate on.
    key_added
        Name of the prediction.
    **train_kwargs
        Passed to :meth:`pertscope.models.EmbeddingFusion.train`: ``max_epochs``, ``batch_size``,
        ``lr``, ``accelerator``, ...

    Returns
    -------
    The trained model. Writes its prediction of the val and test conditions to
    ``.uns["pertscope"]["predictions"][key_added]``, an AnnData ``(conditions, genes)``, float32.

    Raises
    ------
    KeyError
        If the screen is not registered or not split, or has no such embedding.
    ValueError
        If it holds counts, the train part is empty, a setting cannot be, or none of the training or
        of the held-out conditions has a vector.

    Warns
    -----
    UserWarning
        If conditions have no vector in any embedding: they are left out in training, and predicted
        by the mean. If an embedding has vectors for no training condition; or if a ``"simple"`` one
        has no perturbed training condition of a value of a covariate.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction (2025), 4.9.

    Examples
    --------
    >>> import pandas as pd
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> genes = sorted(set(adata.obs["perturbation"]) - {"control"})
    >>> table = pd.DataFrame({"number": range(8)}, index=genes)
    >>> ps.pp.add_perturbation_embedding(adata, table, "number")  # doctest: +ELLIPSIS
    number: ...
    >>> ps.pp.split_unseen(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.tl.fit_embedding_fusion(adata, perturbation_embedding="number", max_epochs=1)
    >>> ps.get.prediction(adata, "embedding_fusion").n_vars
    50
    """
    from pertscope.models.response.embedding_fusion.model import EmbeddingFusion

    return train_and_predict(
        adata,
        lambda screen: EmbeddingFusion(
            screen,
            perturbation_embedding=perturbation_embedding,
            kind=kind,
            covariates=covariates,
            n_dims=n_dims,
            n_layers=n_layers,
            n_heads=n_heads,
            dropout=dropout,
            drop_useless=drop_useless,
            seed=seed,
        ),
        key_added,
        **train_kwargs,
    )
