"""Perturbations add up in a latent space."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

from pertscope.models.network import NetworkModel
from pertscope.models.response.latent_additive.module import LatentAdditiveModule

if TYPE_CHECKING:
    from anndata import AnnData


@final
class LatentAdditive(NetworkModel):
    """Encode the control cell, add the encoded perturbation, decode.

    ``x = f_dec(f_ctrl(x_0) + f_pert(p))`` with multilayer perceptrons f (linear, layer norm, ReLU,
    dropout, repeated, then linear) and p the multi-hot perturbation.

    Parameters
    ----------
    adata
        Registered, split screen on a log or standardised scale.
    n_hidden
        Width of the hidden layers.
    n_latent
        Dimensions of the latent space.
    n_layers
        Hidden layers in each perceptron.
    dropout
        Share of hidden units dropped in training.
    covariates_in_encoder, covariates_in_decoder
        Join one-hot covariates to the input of ``f_ctrl`` and of ``f_dec``.
    softplus
        Force the output to be positive.
    seed
        Seed of the weights, of the order of cells, of dropout and of the matched controls.

    References
    ----------
    Wu et al., PerturBench (2024), section 3 and appendix D.5.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=6, n_genes=30, seed=0)
    >>> ps.models.LatentAdditive.setup_anndata(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.models.LatentAdditive(adata, n_hidden=32, n_latent=8)
    >>> model.train(max_epochs=1)
    >>> model.predict().n_vars
    30
    """

    name: ClassVar[str] = "latent_additive"
    affine: ClassVar[bool] = False

    def __init__(
        self,
        adata: AnnData,
        *,
        n_hidden: int = 256,
        n_latent: int = 64,
        n_layers: int = 1,
        dropout: float = 0.1,
        covariates_in_encoder: bool = False,
        covariates_in_decoder: bool = True,
        softplus: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(
            adata,
            n_hidden=n_hidden,
            n_latent=n_latent,
            n_layers=n_layers,
            dropout=dropout,
            covariates_in_encoder=covariates_in_encoder,
            covariates_in_decoder=covariates_in_decoder,
            softplus=softplus,
            seed=seed,
        )

    def _build(self) -> LatentAdditiveModule:
        v = self.vocabulary
        settings = {k: s for k, s in self.settings.items() if k != "seed"}
        return LatentAdditiveModule(
            len(self.genes), len(v.perturbations), v.n_covariates, **settings
        )
