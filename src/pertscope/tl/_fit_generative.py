"""Fit :class:`pertscope.models.Generative`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pertscope.tl._train_and_predict import train_and_predict

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope.models.response.generative.model import Generative


def fit_generative(
    adata: AnnData,
    *,
    perturbation_embedding: str | None = None,
    path: str = "flow_matching",
    n_components: int = 50,
    n_per_token: int = 10,
    n_hidden: int = 128,
    n_layers: int = 4,
    n_heads: int = 4,
    dropout: float = 0.0,
    ema_decay: float = 0.995,
    n_steps: int | None = None,
    sigma: float = 1.0,
    seed: int = 0,
    max_controls: int | None = 500,
    key_added: str = "generative",
    **train_kwargs: Any,
) -> Generative:
    """Train a network that carries control cells to perturbed cells, and predict.

    By flow matching, a Schroedinger bridge or latent diffusion in principal components; see
    :class:`pertscope.models.Generative`.

    Parameters
    ----------
    adata
        Registered, split screen of cells on a log or standardised scale.
    perturbation_embedding
        Name of vectors that :func:`pertscope.pp.add_perturbation_embedding` kept: whatever has one
        can be predicted, seen or not. One-hot perturbations by default.
    path
        ``"flow_matching"``, ``"schrodinger_bridge"`` or ``"diffusion"``.
    n_components
        Principal components of the training cells, scaled to a variance of 1.
    n_per_token
        Components that are one token of the transformer: more of them are faster, and on small
        screens no worse.
    n_hidden
        Width of the transformer.
    n_layers
        Its layers.
    n_heads
        Heads of attention in each.
    dropout
        Share of what a layer adds that is dropped in training.
    ema_decay
        Predictions come from a moving mean of the weights: the weight of what was before.
    n_steps
        Steps of a walk from a control cell to a predicted one; by default 20, 250 and 1,000 for the
        three paths. Fewer are faster.
    sigma
        Noise of ``"schrodinger_bridge"``.
    seed
        Seed of weights, order of cells, matched controls, dropout and all noise.
    max_controls
        Most control cells per combination of covariates that a predicted mean is over; ``None`` for
        all: each is carried to each condition by itself. They are drawn by `seed`, and their own
        mean differs from that of all: by about 4 % of a standard deviation with 500.
    key_added
        Name of the prediction.
    **train_kwargs
        Passed to :meth:`pertscope.models.Generative.train`: ``max_epochs``, ``batch_size``, ``lr``,
        ``accelerator``; ``matching="transport"`` pairs cells with controls by optimal transport.

    Returns
    -------
    The trained model. Writes its prediction of the val and test conditions to
    ``.uns["pertscope"]["predictions"][key_added]``, an AnnData ``(conditions, genes)``, float32:
    means. For cells, :func:`pertscope.tl.predict` with ``cells_per_condition``.

    Raises
    ------
    KeyError
        If the screen is not registered or not split, or has no such embedding.
    ValueError
        If it holds counts or effects, the train or val part is empty, a setting cannot be, or a
        perturbation in training has no vector.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction (2025), section 4.7.4.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.tl.fit_generative(
    ...     adata, n_components=10, n_hidden=16, n_layers=1, max_epochs=1, max_controls=20
    ... )
    >>> ps.get.prediction(adata, "generative").n_vars
    50
    """
    from pertscope.models.response.generative.model import Generative

    return train_and_predict(
        adata,
        partial(
            Generative,
            perturbation_embedding=perturbation_embedding,
            path=path,
            n_components=n_components,
            n_per_token=n_per_token,
            n_hidden=n_hidden,
            n_layers=n_layers,
            n_heads=n_heads,
            dropout=dropout,
            ema_decay=ema_decay,
            n_steps=n_steps,
            sigma=sigma,
            seed=seed,
        ),
        key_added,
        max_controls=max_controls,
        **train_kwargs,
    )
