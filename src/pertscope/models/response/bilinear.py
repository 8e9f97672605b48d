"""Effects as a bilinear form of gene and perturbation embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from pertscope._core.messages import listed
from pertscope.models.effect_model import EffectModel

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope._core.conditions import Conditions


@final
class Bilinear(EffectModel):
    """Ridge regression of effects on gene and perturbation embeddings: ``E = G W P' + b``.

    E holds the training effects (genes x conditions), b their mean over conditions, G the first
    principal components of the genes over the training effects, ``W = (G'G + l I)^-1 G'(E - b) P
    (P'P + l I)^-1``. P is, per condition, the sum over its perturbations of the perturbed gene's
    row of G (``"genes"``), or the one-hot perturbation itself (``"one-hot"``); ``"auto"`` takes
    genes where all perturbations are genes of the screen. Covariates share W; b is per combination
    of covariates where it was trained.

    Parameters
    ----------
    adata
        Registered, split screen.
    n_components
        Columns of G, at most the number of training conditions.
    ridge
        The penalty l.
    perturbation_features
        ``"auto"``, ``"genes"`` or ``"one-hot"``.

    References
    ----------
    Ahlmann-Eltze, Huber and Anders, Nature Methods (2025), the linear model.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=50, seed=0)
    >>> ps.models.Bilinear.setup_anndata(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.models.Bilinear(adata)
    >>> model.train()
    >>> model.predict().n_vars
    50
    """

    name: ClassVar[str] = "bilinear"

    def __init__(
        self,
        adata: AnnData,
        *,
        n_components: int = 10,
        ridge: float = 0.1,
        perturbation_features: str = "auto",
    ) -> None:
        if n_components < 1 or not ridge > 0:
            raise ValueError(f"`n_components`={n_components} and `ridge`={ridge} must be positive.")
        if perturbation_features not in ("auto", "genes", "one-hot"):
            raise ValueError(
                f"`perturbation_features`={perturbation_features!r} must be 'auto', 'genes' or "
                "'one-hot'."
            )
        super().__init__(
            adata,
            n_components=n_components,
            ridge=ridge,
            perturbation_features=perturbation_features,
        )
        absent = sorted(set(self.vocabulary.perturbations) - set(self.genes))
        if perturbation_features == "genes" and absent:
            raise ValueError(
                f"perturbation(s) {listed(absent)} are no genes of the screen: use "
                "`perturbation_features='one-hot'`."
            )
        if perturbation_features == "auto":
            self.settings["perturbation_features"] = "one-hot" if absent else "genes"

    def _fit(self, conditions: Conditions, effects: np.ndarray) -> None:
        context = self.vocabulary.encode_covariates(conditions)
        self._contexts, place = np.unique(context, axis=0, return_inverse=True)
        self._mean = np.stack(
            [effects[place == k].mean(axis=0) for k in range(len(self._contexts))]
        )
        centred = (effects - self._mean[place]).T
        left, singular, _ = np.linalg.svd(centred, full_matrices=False)
        n = min(self.settings["n_components"], len(singular))
        self._gene_embedding = left[:, :n] * singular[:n]
        features = self._features(conditions)
        g, ridge = self._gene_embedding, self.settings["ridge"]
        inner = np.linalg.solve(g.T @ g + ridge * np.eye(n), g.T @ centred @ features)
        gram = features.T @ features + ridge * np.eye(features.shape[1])
        self._weights = np.linalg.solve(gram, inner.T).T

    def _features(self, conditions: Conditions) -> np.ndarray:
        active = self.vocabulary.encode_perturbations(conditions).astype(np.float64)
        if self.settings["perturbation_features"] == "one-hot":
            return active
        place = {g: i for i, g in enumerate(self.genes)}
        return active @ self._gene_embedding[[place[p] for p in self.vocabulary.perturbations]]

    def _effects(self, conditions: Conditions) -> np.ndarray:
        context = self.vocabulary.encode_covariates(conditions)
        here = (context[:, None] == self._contexts[None]).all(axis=2)
        mean = np.where(here.any(axis=1)[:, None], here @ self._mean, self._mean.mean(axis=0))
        return self._features(conditions) @ self._weights.T @ self._gene_embedding.T + mean

    def _arrays(self) -> dict[str, np.ndarray]:
        return {
            "contexts": self._contexts,
            "mean": self._mean,
            "gene_embedding": self._gene_embedding,
            "weights": self._weights,
        }

    def _set_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        self._contexts = arrays["contexts"]
        self._mean = arrays["mean"]
        self._gene_embedding = arrays["gene_embedding"]
        self._weights = arrays["weights"]
