"""Fit :class:`pertscope.models.LatentAdditive`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pertscope.tl._train_and_predict import train_and_predict

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope.models.response.latent_additive.model import LatentAdditive


def fit_latent_additive(
    adata: AnnData,
    *,
    n_hidden: int = 256,
    n_latent: int = 64,
    n_layers: int = 1,
    dropout: float = 0.1,
    covariates_in_encoder: bool = False,
    covariates_in_decoder: bool = True,
    softplus: bool = False,
    likelihood: str = "mse",
    use_rep: str | None = None,
    perturbation_embedding: str | None = None,
    seed: int = 0,
    preset: str | None = None,
    key_added: str = "latent_additive",
    **train_kwargs: Any,
) -> LatentAdditive:
    """Train a network that adds perturbations in a latent space, and predict.

    ``x = f_dec(f_ctrl(x_0) + f_pert(p))``; see :class:`pertscope.models.LatentAdditive`.

    Parameters
    ----------
    adata
        Registered, split screen on a log or standardised scale; of counts for the `likelihood`
        ``"nb"`` or ``"zinb"``.
    n_hidden
        Width of the hidden layers.
    n_latent
        Dimensions of the latent space.
    n_layers
        Hidden layers in each perceptron.
    dropout
        Share of hidden units dropped in training.
    covariates_in_encoder
        Join covariates to the encoder's input.
    covariates_in_decoder
        Join covariates to the decoder's input.
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
        Seed of weights, order of cells, dropout and matched controls.
    preset
        Published settings in place of the defaults, ``"norman19"`` or ``"srivatsan20"``; an
        argument that differs from its default wins. See :func:`pertscope.models.presets`.
    key_added
        Name of the prediction.
    **train_kwargs
        Passed to :meth:`pertscope.models.LatentAdditive.train`: ``max_epochs``, ``batch_size``,
        ``lr``, ``accelerator``, ...

    Returns
    -------
    The trained model. Writes its prediction of the val and test conditions to
    ``.uns["pertscope"]["predictions"][key_added]``, an AnnData ``(conditions, genes)``, float32.

    Raises
    ------
    KeyError
        If the screen is not registered or not split.
    ValueError
        If there is no such preset, the scale is not that of the `likelihood`, or the train part is
        empty.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.tl.fit_latent_additive(adata, max_epochs=1)
    >>> ps.get.prediction(adata, "latent_additive").n_vars
    50
    """
    from pertscope.models.response.latent_additive.model import LatentAdditive

    return train_and_predict(
        adata,
        partial(
            LatentAdditive,
            n_hidden=n_hidden,
            n_latent=n_latent,
            n_layers=n_layers,
            dropout=dropout,
            covariates_in_encoder=covariates_in_encoder,
            covariates_in_decoder=covariates_in_decoder,
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
