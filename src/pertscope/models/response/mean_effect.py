"""Every perturbation does what the average perturbation does."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from pertscope._core.messages import listed
from pertscope.models.control_means import context_names
from pertscope.models.effect_model import EffectModel

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope._core.conditions import Conditions


@final
class MeanEffect(EffectModel):
    """Add the mean training effect to the controls, whatever the perturbation.

    ``x = x_0 + mean over training conditions i of e_i``, over those of the same combination of
    covariates, or over all. It often has a fine RMSE; its rank is 0.5, because it tells no
    perturbation from another: the floor that a useful model must beat.

    Parameters
    ----------
    adata
        Registered, split screen.
    per_covariate
        Average within each combination of covariates; otherwise over all training conditions.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.models.MeanEffect.setup_anndata(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.models.MeanEffect(adata)
    >>> model.train()
    >>> model.predict().n_vars
    50
    """

    name: ClassVar[str] = "mean_effect"
    tells_perturbations: ClassVar[bool] = False

    def __init__(self, adata: AnnData, *, per_covariate: bool = True) -> None:
        super().__init__(adata, per_covariate=per_covariate)

    def _group(self, conditions: Conditions) -> np.ndarray:
        if not self.settings["per_covariate"]:
            return np.full(len(conditions), "all")
        return context_names(conditions)

    def _fit(self, conditions: Conditions, effects: np.ndarray) -> None:
        group = self._group(conditions)
        self._means = {g: effects[group == g].mean(axis=0) for g in np.unique(group)}

    def _effects(self, conditions: Conditions) -> np.ndarray:
        group = self._group(conditions)
        unknown = set(group) - self._means.keys()
        if unknown:
            raise ValueError(
                f"no perturbation of {listed(sorted(unknown))} was in training, there is no mean "
                "effect: use `per_covariate=False`."
            )
        return np.stack([self._means[g] for g in group])

    def _arrays(self) -> dict[str, np.ndarray]:
        return {
            "groups": np.array(list(self._means)),
            "means": np.stack(list(self._means.values())),
        }

    def _set_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        self._means = dict(zip(arrays["groups"].tolist(), arrays["means"], strict=True))
