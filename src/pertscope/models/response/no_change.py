"""Nothing happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from pertscope.models.effect_model import EffectModel

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope._core.conditions import Conditions


@final
class NoChange(EffectModel):
    """Predict the matched control mean for every condition: ``x = x_0``.

    Its predictions within one combination of covariates are all the same, so its rank is 0.5; an
    RMSE above its own means that a model is worse than predicting nothing.

    Parameters
    ----------
    adata
        Registered, split screen.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.models.NoChange.setup_anndata(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.models.NoChange(adata)
    >>> model.train()
    >>> model.predict().n_vars
    50
    """

    name: ClassVar[str] = "no_change"
    tells_perturbations: ClassVar[bool] = False

    def __init__(self, adata: AnnData) -> None:
        super().__init__(adata)

    def _fit(self, conditions: Conditions, effects: np.ndarray) -> None:
        pass  # there is nothing to learn

    def _effects(self, conditions: Conditions) -> np.ndarray:
        return np.zeros((len(conditions), len(self.genes)))

    def _arrays(self) -> dict[str, np.ndarray]:
        return {}

    def _set_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        pass
