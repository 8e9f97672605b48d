"""Fit :class:`pertscope.models.SAMSVAE`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pertscope.tl._train_and_predict import train_and_predict

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope.models.response.sams_vae.model import SAMSVAE


def fit_sams_vae(
    adata: AnnData,
    *,
    sparse: bool = True,
    global_latents: bool = True,
    mean_field: bool = True,
    mask_prior_probability: float = 0.01,
    n_hidden: int = 256,
    n_latent: int = 64,
    n_layers: int = 1,
    dropout: float = 0.1,
    kl_weight: float = 1.0,
    likelihood: str = "mse",
    use_rep: str | None = None,
    seed: int = 0,
    preset: str | None = None,
    key_added: str = "sams_vae",
    **train_kwargs: Any,
) -> SAMSVAE:
    """Train a variational autoencoder with sparse additive shifts, and predict.

    ``z = z_basal + sum_c a_c + sum_t m_t * e_t``, decoded; see :class:`pertscope.models.SAMSVAE`.

    Parameters
    ----------
    adata
        Registered, split screen on a log or standardised scale; of counts for the `likelihood`
        ``"nb"`` or ``"zinb"``.
    sparse
        Give every perturbation a mask.
    global_latents
        Give every effect a prior and a posterior; otherwise it is a plain embedding.
    mean_field
        Encode the basal state from the cell alone; otherwise from the applied effects as well.
    mask_prior_probability
        Expected share of latent dimensions that a perturbation moves.
    n_hidden
        Width of the hidden layers.
    n_latent
        Dimensions of the latent space.
    n_layers
        Hidden layers in encoder and decoder.
    dropout
        Share of hidden units dropped in training.
    kl_weight
        Weight of the divergences: the variance within a gene that counts as noise.
    likelihood
        ``"mse"``; ``"gaussian"``, which learns the variance of each gene in each cell; or, where
        the registered layer holds counts, ``"nb"`` and ``"zinb"``: (zero-inflated) negative
        binomial. Predictions are means on the registered scale; of counts, in cells with as many
        counts as the controls.
    use_rep
        Key of ``.obsm`` with what the encoder sees of a cell in place of its expression, such as
        the embedding of a foundation model.
    seed
        Seed of weights, order of cells, dropout, matched controls and latent draws.
    preset
        Published settings in place of the defaults, ``"norman19-simple"`` or
        ``"srivatsan20-simple"``; an argument that differs from its default wins. See
        :func:`pertscope.models.presets`.
    key_added
        Name of the prediction.
    **train_kwargs
        Passed to :meth:`pertscope.models.SAMSVAE.train`: ``max_epochs``, ``batch_size``, ``lr``,
        ``accelerator``, ...

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
        empty, or a setting lies outside its range.

    Examples
    --------
    The form without masks and global latents, SAMS-VAE* (S):

    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.tl.fit_sams_vae(adata, sparse=False, global_latents=False, max_epochs=1)
    >>> ps.get.prediction(adata, "sams_vae").n_vars
    50
    """
    from pertscope.models.response.sams_vae.model import SAMSVAE

    return train_and_predict(
        adata,
        partial(
            SAMSVAE,
            sparse=sparse,
            global_latents=global_latents,
            mean_field=mean_field,
            mask_prior_probability=mask_prior_probability,
            n_hidden=n_hidden,
            n_latent=n_latent,
            n_layers=n_layers,
            dropout=dropout,
            kl_weight=kl_weight,
            likelihood=likelihood,
            use_rep=use_rep,
            seed=seed,
        ),
        key_added,
        preset=preset,
        **train_kwargs,
    )
