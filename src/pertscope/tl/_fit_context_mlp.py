"""Fit :class:`pertscope.models.ContextMLP`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pertscope.tl._train_and_predict import train_and_predict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from pertscope.models.response.context_mlp.model import ContextMLP


def fit_context_mlp(
    adata: AnnData,
    *,
    perturbation_embedding: str | Sequence[str] | None = None,
    context: str = "controls",
    n_components: int = 50,
    n_hidden: int = 512,
    n_layers: int = 2,
    dropout: float = 0.1,
    seed: int = 0,
    key_added: str = "context_mlp",
    **train_kwargs: Any,
) -> ContextMLP:
    """Predict effects in contexts where nothing was tried, from their controls.

    A multilayer perceptron on perturbation and context; see :class:`pertscope.models.ContextMLP`.

    Parameters
    ----------
    adata
        Registered, split screen (:func:`pertscope.pp.split_contexts`): of cells on a log or
        standardised scale, or of effects (:func:`pertscope.tl.effects`).
    perturbation_embedding
        Name of an embedding (:func:`pertscope.pp.add_perturbation_embedding`), or several names;
        by default one-hot perturbations, which must be seen somewhere.
    context
        ``"controls"``, what the controls are like; or ``"one_hot"`` covariates.
    n_components
        Most principal components of the controls.
    n_hidden
        Width of the hidden layers.
    n_layers
        Hidden layers.
    dropout
        Share of hidden units dropped in training.
    seed
        Seed of weights, order, dropout, and of the conditions to validate on.
    key_added
        Name of the prediction.
    **train_kwargs
        Passed to :meth:`pertscope.models.ContextMLP.train`: ``max_epochs``, ``batch_size``,
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
        If it holds counts, the train part is empty, a setting cannot be, none of the training or of
        the held-out conditions has a vector, one-hot perturbations are held out that are not
        trained on, or there are no controls to read.

    Warns
    -----
    UserWarning
        If conditions have no vector in any embedding: they are left out in training, and predicted
        by the mean. If an embedding has vectors for no training condition; if nothing can be spared
        to validate on; or if contexts are one-hot, and train has no perturbed condition of one.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction (2025).

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> screen = ps.tl.effects(adata)
    >>> ps.pp.split_contexts(screen)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.tl.fit_context_mlp(screen, max_epochs=1)
    >>> ps.get.prediction(screen, "context_mlp").n_vars
    50
    """
    from pertscope.models.response.context_mlp.model import ContextMLP

    return train_and_predict(
        adata,
        lambda screen: ContextMLP(
            screen,
            perturbation_embedding=perturbation_embedding,
            context=context,
            n_components=n_components,
            n_hidden=n_hidden,
            n_layers=n_layers,
            dropout=dropout,
            seed=seed,
        ),
        key_added,
        **train_kwargs,
    )
