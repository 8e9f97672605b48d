"""Predict from the labels alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

from pertscope._core.screen import Screen
from pertscope.models.network import NetworkModel
from pertscope.models.response.decoder_only.module import DecoderOnlyModule

if TYPE_CHECKING:
    from anndata import AnnData


@final
class DecoderOnly(NetworkModel):
    """Decode the labels of a condition, without a look at its control cells.

    ``x = f_dec(z)`` with z the multi-hot perturbation, the one-hot covariates, or both, and f_dec a
    multilayer perceptron. With the covariates alone it predicts the same for every perturbation: a
    collapsed model, whose rank is 0.5.

    Parameters
    ----------
    adata
        Registered, split screen on a log or standardised scale.
    inputs
        ``"both"``, ``"perturbation"`` or ``"covariates"``.
    n_hidden
        Width of the hidden layers.
    n_layers
        Hidden layers.
    dropout
        Share of hidden units dropped in training.
    softplus
        Force the output to be positive.
    perturbation_embedding
        Name of vectors that :func:`pertscope.pp.add_perturbation_embedding` kept, in place of
        one-hot perturbations: whatever has one can be predicted, seen or not.
    seed
        Seed of the weights, of the order of cells and of dropout.

    References
    ----------
    Wu et al., PerturBench (2024), section 3 and appendix D.5.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=6, n_genes=30, seed=0)
    >>> ps.models.DecoderOnly.setup_anndata(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.models.DecoderOnly(adata, n_hidden=32)
    >>> model.train(max_epochs=1)
    >>> model.predict().n_vars
    30
    """

    name: ClassVar[str] = "decoder_only"
    affine: ClassVar[bool] = True  # it does not depend on the controls at all

    def __init__(
        self,
        adata: AnnData,
        *,
        inputs: str = "both",
        n_hidden: int = 256,
        n_layers: int = 2,
        dropout: float = 0.1,
        softplus: bool = False,
        perturbation_embedding: str | None = None,
        seed: int = 0,
    ) -> None:
        if inputs not in ("both", "perturbation", "covariates"):
            raise ValueError(f"`inputs`={inputs!r} must be 'both', 'perturbation' or 'covariates'.")
        if inputs == "covariates" and not Screen.of(adata).covariate_keys:
            raise ValueError("`inputs='covariates'` needs a screen with registered covariates.")
        super().__init__(
            adata,
            inputs=inputs,
            n_hidden=n_hidden,
            n_layers=n_layers,
            dropout=dropout,
            softplus=softplus,
            perturbation_embedding=perturbation_embedding,
            seed=seed,
        )

    def _build(self) -> DecoderOnlyModule:
        v = self.vocabulary
        settings = {k: s for k, s in self.module_settings.items() if k != "inputs"}
        return DecoderOnlyModule(
            len(self.genes),
            v.n_perturbation_inputs,
            v.n_covariates,
            uses_perturbation=self.settings["inputs"] != "covariates",
            uses_covariates=self.settings["inputs"] != "perturbation",
            **settings,
        )
