"""Fit :class:`pertscope.models.CPA`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pertscope.tl._train_and_predict import train_and_predict

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope.models.response.cpa.model import CPA


def fit_cpa(
    adata: AnnData,
    *,
    adversarial: bool = True,
    variational: bool = True,
    n_hidden: int = 256,
    n_latent: int = 64,
    n_layers: int = 2,
    n_hidden_adversary: int = 128,
    n_layers_adversary: int = 2,
    dropout: float = 0.0,
    kl_weight: float = 1.0,
    adversary_weight: float = 1.0,
    penalty_weight: float = 1.0,
    adversary_steps: int = 3,
    warmup_epochs: int = 5,
    softplus: bool = False,
    likelihood: str = "mse",
    use_rep: str | None = None,
    perturbation_embedding: str | None = None,
    seed: int = 0,
    preset: str | None = None,
    key_added: str = "cpa",
    **train_kwargs: Any,
) -> CPA:
    """Train a compositional perturbation autoencoder, and predict.

    ``x = f_dec(f_enc(x) + p E + c C)``, where an adversary keeps the basal state ``f_enc(x)`` free
    of perturbation p and covariates c; see :class:`pertscope.models.CPA`.

    Parameters
    ----------
    adata
        Registered, split screen on a log or standardised scale; of counts for the `likelihood`
        ``"nb"`` or ``"zinb"``.
    adversarial
        Train against the adversary; otherwise there is none ("CPA (noAdv)").
    variational
        Draw basal states from normal distributions, held near the standard normal.
    n_hidden
        Width of the hidden layers of encoder and decoder.
    n_latent
        Dimensions of the latent space.
    n_layers
        Hidden layers of the encoder, and of the decoder.
    n_hidden_adversary
        Width of the adversary's hidden layers.
    n_layers_adversary
        Hidden layers of the adversary.
    dropout
        Share of hidden units of encoder and decoder dropped in training.
    kl_weight
        Weight of the divergence, where `variational`: 1 is the ELBO with unit variance.
    adversary_weight
        Weight of the adversary's loss against the reconstruction.
    penalty_weight
        Weight of the adversary's gradient penalty against its loss.
    adversary_steps
        One step in so many is the autoencoder's, all others are the adversary's: 2 or more.
    warmup_epochs
        Epochs without adversary that come first.
    softplus
        Force the output to be positive.
    likelihood
        ``"mse"``; ``"gaussian"``, which learns the variance of each gene in each cell; or, where
        the registered layer holds counts, ``"nb"`` and ``"zinb"``: (zero-inflated) negative
        binomial. Predictions are means on the registered scale; of counts, in cells with as many
        counts as the controls.
    use_rep
        Key of ``.obsm`` with what the encoder sees of a cell in place of its expression, such as
        the embedding of a foundation model.
    perturbation_embedding
        Name of vectors that :func:`pertscope.pp.add_perturbation_embedding` kept, in place of
        one-hot perturbations: whatever has one can be predicted, seen or not.
    seed
        Seed of weights, order of cells, dropout, draws and matched controls.
    preset
        Published settings in place of the defaults, ``"norman19"`` or ``"srivatsan20"``, each also
        with the suffix ``-no-adversary``; an argument that differs from its default wins. See
        :func:`pertscope.models.presets`.
    key_added
        Name of the prediction.
    **train_kwargs
        Passed to :meth:`pertscope.models.CPA.train`: ``max_epochs``, ``batch_size``, ``lr``,
        ``patience``, ``accelerator``, ...

    Returns
    -------
    The trained model. Writes its prediction of the val and test conditions to
    ``.uns["pertscope"]["predictions"][key_added]``, an AnnData ``(conditions, genes)``, float32.

    Raises
    ------
    KeyError
        If the screen is not registered or not split.
    ValueError
        If there is no such preset, the scale is not that of the `likelihood`, the train part is
        empty, or a weight is negative.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.tl.fit_cpa(adata, max_epochs=2, warmup_epochs=1)
    >>> ps.get.prediction(adata, "cpa").n_vars
    50
    """
    from pertscope.models.response.cpa.model import CPA

    return train_and_predict(
        adata,
        partial(
            CPA,
            adversarial=adversarial,
            variational=variational,
            n_hidden=n_hidden,
            n_latent=n_latent,
            n_layers=n_layers,
            n_hidden_adversary=n_hidden_adversary,
            n_layers_adversary=n_layers_adversary,
            dropout=dropout,
            kl_weight=kl_weight,
            adversary_weight=adversary_weight,
            penalty_weight=penalty_weight,
            adversary_steps=adversary_steps,
            warmup_epochs=warmup_epochs,
            softplus=softplus,
            likelihood=likelihood,
            use_rep=use_rep,
            perturbation_embedding=perturbation_embedding,
            seed=seed,
        ),
        key_added,
        preset=preset,
        **train_kwargs,
    )
