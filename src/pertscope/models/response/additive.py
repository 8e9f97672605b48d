"""Combinations do what their parts do, added up."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from pertscope.models.effect_model import EffectModel

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope._core.conditions import Conditions


@final
class Additive(EffectModel):
    """Add the effects of the single perturbations: ``x = x_0 + sum_p e_p``, p in the condition.

    The effect of a perturbation p in covariates c is, in this order: that of p alone in c; the mean
    over ``e(p + q) - e(q)`` in c; the mean over other covariates, where p was seen. So it is
    the additive floor for combinations, and for covariate transfer the floor "the same effect as
    elsewhere".

    Parameters
    ----------
    adata
        Registered, split screen.

    References
    ----------
    Ahlmann-Eltze, Huber and Anders, Nature Methods (2025), the additive baseline.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=6, n_combinations=6, n_genes=50, seed=0)
    >>> ps.models.Additive.setup_anndata(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_combinations(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.models.Additive(adata)
    >>> model.train()
    >>> model.predict().n_vars
    50
    """

    name: ClassVar[str] = "additive"

    def __init__(self, adata: AnnData) -> None:
        super().__init__(adata)

    def _fit(self, conditions: Conditions, effects: np.ndarray) -> None:
        covariates = self.vocabulary.encode_covariates(conditions)
        self._contexts, context = np.unique(covariates, axis=0, return_inverse=True)
        shape = (len(self._contexts), len(self.vocabulary.perturbations), len(self.genes))
        place = {p: i for i, p in enumerate(self.vocabulary.perturbations)}
        alone = np.full(shape, np.nan)
        for i, parts in enumerate(conditions.components):
            if len(parts) == 1:
                alone[context[i], place[parts[0]]] = effects[i]
        rest = np.zeros(shape)
        n_rest = np.zeros(shape[:2])
        for i, parts in enumerate(conditions.components):
            for p in parts if len(parts) > 1 else ():
                others = [place[q] for q in parts if q != p]
                remainder = effects[i] - alone[context[i], others].sum(axis=0)
                if np.isfinite(remainder).all():
                    rest[context[i], place[p]] += remainder
                    n_rest[context[i], place[p]] += 1
        missing = np.isnan(alone[:, :, 0]) & (n_rest > 0)
        alone[missing] = rest[missing] / n_rest[missing][:, None]
        known = ~np.isnan(alone[:, :, 0])
        self._effect = alone
        self._elsewhere = np.full(shape[1:], np.nan)
        seen = known.any(axis=0)
        self._elsewhere[seen] = np.nanmean(alone[:, seen], axis=0)

    def _effects(self, conditions: Conditions) -> np.ndarray:
        active = self.vocabulary.encode_perturbations(conditions) > 0
        covariates = self.vocabulary.encode_covariates(conditions)
        result = np.zeros((len(conditions), len(self.genes)))
        for i, parts in enumerate(active):
            here = np.flatnonzero((self._contexts == covariates[i]).all(axis=1))
            for p in np.flatnonzero(parts):
                own = self._effect[here[0], p] if len(here) else self._elsewhere[p]
                effect = self._elsewhere[p] if np.isnan(own[0]) else own
                if np.isnan(effect[0]):
                    name = self.vocabulary.perturbations[p]
                    raise ValueError(
                        f"{name!r} was in training only together with others whose effects alone "
                        "are unknown: the additive model cannot tell what it does."
                    )
                result[i] += effect
        return result

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"contexts": self._contexts, "effect": self._effect, "elsewhere": self._elsewhere}

    def _set_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        self._contexts = arrays["contexts"]
        self._effect = arrays["effect"]
        self._elsewhere = arrays["elsewhere"]
