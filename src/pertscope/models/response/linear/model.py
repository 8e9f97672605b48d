"""One linear layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

from pertscope.models.network import NetworkModel
from pertscope.models.response.linear.module import LinearModule

if TYPE_CHECKING:
    from anndata import AnnData


@final
class Linear(NetworkModel):
    """A linear effect of perturbation and covariates, added to the control cell.

    ``x = x_0 + W [p, c] + b``: p multi-hot perturbations, c one-hot covariates, W genes x
    (perturbations + covariate values).

    Parameters
    ----------
    adata
        Registered, split screen on a log or standardised scale.
    perturbation_embedding
        Name of vectors that :func:`pertscope.pp.add_perturbation_embedding` kept, in place of
        one-hot perturbations: whatever has one can be predicted, seen or not.
    seed
        Seed of the weights, of the order of cells and of the matched controls.

    References
    ----------
    Wu et al., PerturBench (2024), section 3.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=6, n_genes=30, seed=0)
    >>> ps.models.Linear.setup_anndata(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.models.Linear(adata)
    >>> model.train(max_epochs=1)
    >>> model.predict().n_vars
    30
    """

    name: ClassVar[str] = "linear"
    affine: ClassVar[bool] = True

    def __init__(
        self, adata: AnnData, *, perturbation_embedding: str | None = None, seed: int = 0
    ) -> None:
        super().__init__(adata, perturbation_embedding=perturbation_embedding, seed=seed)

    def _build(self) -> LinearModule:
        v = self.vocabulary
        return LinearModule(len(self.genes), v.n_perturbation_inputs, v.n_covariates)
