"""Combinations do what their parts do, added up."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from pertscope.models.effect_model import EffectModel

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope._core.conditions import Conditions

AMBIGUOUS = 1e-9
"""How far from the identity least squares may be where it determines an effect."""


@final
class Additive(EffectModel):
    """Add the effects of the single perturbations: ``x = x_0 + sum_p e_p``, p in the condition.

    The effect of a perturbation p in covariates c is, in this order: that of p alone in c; what the
    combinations of c leave for it by least squares, ``e(p + q) - e(q)``; the mean over the other
    covariates where one of these is known; an equal share of the combinations it always comes in.
    So it is the additive floor for combinations, and for covariate transfer the floor "the same
    effect as elsewhere".

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
        active = self.vocabulary.encode_perturbations(conditions).astype(np.float64)
        alone = np.full(shape, np.nan)
        single = np.flatnonzero(active.sum(axis=1) == 1)
        alone[context[single], active[single].argmax(axis=1)] = effects[single]
        shared = np.full(shape, np.nan)
        for k in range(len(self._contexts)):
            here = context == k
            _complete(alone[k], shared[k], active[here], effects[here])
        self._effect = alone
        self._elsewhere = _mean_of_known(alone)
        nowhere = np.isnan(self._elsewhere[:, 0])
        self._elsewhere[nowhere] = _mean_of_known(shared)[nowhere]

    def _effects(self, conditions: Conditions) -> np.ndarray:
        active = self.vocabulary.encode_perturbations(conditions) > 0
        covariates = self.vocabulary.encode_covariates(conditions)
        result = np.zeros((len(conditions), len(self.genes)))
        for i, parts in enumerate(active):
            here = np.flatnonzero((self._contexts == covariates[i]).all(axis=1))
            for p in np.flatnonzero(parts):
                own = self._effect[here[0], p] if len(here) else self._elsewhere[p]
                effect = self._elsewhere[p] if np.isnan(own[0]) else own
                result[i] += effect
        return result

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"contexts": self._contexts, "effect": self._effect, "elsewhere": self._elsewhere}

    def _set_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        self._contexts = arrays["contexts"]
        self._effect = arrays["effect"]
        self._elsewhere = arrays["elsewhere"]


def _complete(
    alone: np.ndarray, shared: np.ndarray, active: np.ndarray, effects: np.ndarray
) -> None:
    """Fill in the effects of perturbations that were only seen in combinations, in place.

    Least squares of what combinations do beyond the effects that are known. What that determines
    goes to `alone`; perturbations that always come together share alike, in `shared`.
    """
    unknown = np.flatnonzero(np.isnan(alone[:, 0]) & active.any(axis=0))
    if len(unknown) == 0:
        return
    rows = active[:, unknown].any(axis=1)
    design = active[rows][:, unknown]
    inverse = np.linalg.pinv(design)
    found = inverse @ (effects[rows] - active[rows] @ np.nan_to_num(alone))
    ambiguity = np.abs(np.eye(len(unknown)) - inverse @ design).max(axis=1)
    determined = ambiguity < AMBIGUOUS
    alone[unknown[determined]] = found[determined]
    shared[unknown] = found


def _mean_of_known(effects: np.ndarray) -> np.ndarray:
    """Mean over combinations of covariates, ``(perturbations, genes)``; NaN if unknown in all."""
    known = ~np.isnan(effects[:, :, :1])
    n = known.sum(axis=0)
    total = np.where(known, effects, 0).sum(axis=0)
    return np.divide(total, n, out=np.full_like(total, np.nan), where=n > 0)
