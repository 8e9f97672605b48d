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
    covariates_in_encoder, covariates_in_decoder
        Join one-hot covariates to the input of ``f_ctrl`` and of ``f_dec``.
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
        likelihood: str = "mse",
        use_rep: str | None = None,
        perturbation_embedding: str | None = None,
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
            likelihood=likelihood,
            use_rep=use_rep,
            perturbation_embedding=perturbation_embedding,
            seed=seed,
        )

    def _build(self) -> LatentAdditiveModule:
        v = self.vocabulary
        return LatentAdditiveModule(
            self.n_inputs,
            len(self.genes),
            v.n_perturbation_inputs,
            v.n_covariates,
            **self.module_settings,
        )
