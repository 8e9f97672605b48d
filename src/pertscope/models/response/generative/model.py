"""Populations of perturbed cells, drawn by carrying control cells to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

import numpy as np
import torch

from pertscope._core.conditions import screen_conditions
from pertscope._core.keys import CONTROL_MEAN, TRAIN
from pertscope._core.matrix import is_backed, matrix_of
from pertscope._core.messages import listed
from pertscope._core.splits import split_of
from pertscope.models.checks import require_positive
from pertscope.models.doses import treatments
from pertscope.models.embedding_network import VARIES
from pertscope.models.network import NetworkModel
from pertscope.models.response.generative.axes import cell_axes
from pertscope.models.response.generative.module import (
    LEAST_REACH,
    PATHS,
    GenerativeModule,
    make_path,
)

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope._core.conditions import Conditions

LEAST_CONTROLS = 2
"""Control cells of a combination of covariates that are a population."""
BEYOND = 1.5
"""How much farther than any training cell a predicted cell may be along a component."""


@final
class Generative(NetworkModel):
    """Carry principal components of control cells to those of perturbed cells.

    One transformer over the components, told a time, the perturbation and the covariates, learns
    along one of three paths:

    ======================  ===========================================  =======================
    path                    cells on the way                             walk
    ======================  ===========================================  =======================
    "flow_matching"         ``(1 - t) z_0 + t z_1``                      midpoint, 20 steps
    "schrodinger_bridge"    the same ``+ sigma sqrt(t (1 - t)) e``       Euler, 250 steps
    "diffusion"             ``sqrt(a_t) z_1 + sqrt(1 - a_t) e``          1,000 steps, from noise
    ======================  ===========================================  =======================

    A predicted cell is the control cell plus the way that its components went.

    Parameters
    ----------
    adata
        Registered, split screen of cells on a log or standardised scale.
    perturbation_embedding
        Name of vectors that :func:`pertscope.pp.add_perturbation_embedding` kept: whatever has one
        can be predicted, seen or not. One-hot perturbations by default.
    path
        One of the above.
    n_components
        Principal components of the training cells, scaled to a variance of 1.
    n_per_token
        Components that are one token of the transformer: more of them are faster, and on small
        screens no worse.
    n_hidden, n_layers, n_heads
        Width of the transformer, its layers, and heads of attention in each.
    dropout
        Share of what a layer adds that is dropped in training.
    ema_decay
        Predictions come from a moving mean of the weights: the weight of what was before.
    n_steps
        Steps of a walk; by default those above, at most 1,000 of diffusion. With few steps of the
        paths that draw noise, spread is too small before means are off.
    sigma
        Noise of the bridge.
    seed
        Seed of weights, order of cells, matched controls, dropout and all noise.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction (2025), section 4.7.4.
    Peebles and Xie, Scalable diffusion models with transformers (2023).

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=6, n_genes=30, seed=0)
    >>> ps.models.Generative.setup_anndata(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.models.Generative(adata, n_components=10, n_hidden=16, n_layers=1)
    >>> model.train(max_epochs=1)
    >>> model.predict(max_controls=20).n_vars
    30
    """

    name: ClassVar[str] = "generative"
    affine: ClassVar[bool] = False
    module: GenerativeModule

    def __init__(
        self,
        adata: AnnData,
        *,
        perturbation_embedding: str | None = None,
        path: str = "flow_matching",
        n_components: int = 50,
        n_per_token: int = 10,
        n_hidden: int = 128,
        n_layers: int = 4,
        n_heads: int = 4,
        dropout: float = 0.0,
        ema_decay: float = 0.995,
        n_steps: int | None = None,
        sigma: float = 1.0,
        seed: int = 0,
    ) -> None:
        if path not in PATHS:
            raise ValueError(f"`path`={path!r} must be one of {list(PATHS)}.")
        if n_steps is not None and not isinstance(n_steps, int):
            raise TypeError(f"`n_steps`={n_steps!r} must be a whole number.")
        require_positive(
            n_components=n_components,
            n_per_token=n_per_token,
            n_hidden=n_hidden,
            n_layers=n_layers,
            n_heads=n_heads,
            n_steps=n_steps,
        )
        if n_hidden % n_heads:
            raise ValueError(f"`n_hidden`={n_hidden} must be a multiple of `n_heads`={n_heads}.")
        if not 0 <= ema_decay < 1:
            raise ValueError(f"`ema_decay`={ema_decay} must be at least 0 and less than 1.")
        if not sigma > 0:
            raise ValueError(f"`sigma`={sigma} must be positive.")
        most = make_path(path, sigma).max_steps
        if most is not None and n_steps is not None and n_steps > most:
            raise ValueError(f"`n_steps`={n_steps} must be at most {most}, the times of {path!r}.")
        super().__init__(
            adata,
            perturbation_embedding=perturbation_embedding,
            path=path,
            n_components=n_components,
            n_per_token=n_per_token,
            n_hidden=n_hidden,
            n_layers=n_layers,
            n_heads=n_heads,
            dropout=dropout,
            ema_decay=ema_decay,
            n_steps=n_steps,
            sigma=sigma,
            seed=seed,
        )
        conditions = screen_conditions(self.adata, self.screen)
        self._require_cells(conditions)
        self._look(conditions)

    def _build(self) -> GenerativeModule:
        v = self.vocabulary
        settings = self.module_settings
        settings["n_components"] = min(settings["n_components"], len(self.genes))
        return GenerativeModule(
            len(self.genes),
            v.n_perturbation_inputs,
            v.n_covariates,
            seed=self.settings["seed"],
            **settings,
        )

    def _require_cells(self, conditions: Conditions) -> None:
        """Refuse a screen without populations: of effects, say."""
        n = np.bincount(conditions.codes, minlength=len(conditions))
        alone = conditions.is_control & (n < LEAST_CONTROLS)
        if CONTROL_MEAN in self.adata.layers or alone.any():
            where = f" of {listed(conditions.index[alone])}" if alone.any() else ""
            raise ValueError(
                f"Generative carries populations, and the screen has no population{where}: it "
                "needs cells, take the screen that the effects were made from."
            )

    def _look(self, conditions: Conditions) -> None:
        """Tell the module the axes of the training cells, and the scale of the vectors."""
        x = matrix_of(self.adata, self.screen.layer)
        if is_backed(x) and getattr(x, "format", None) == "csc":
            return  # training refuses it
        cells = np.flatnonzero(split_of(self.adata, conditions) == TRAIN)
        module, n_components = self.module, self.settings["n_components"]
        axes = cell_axes(x, cells, n_components, seed=self.settings["seed"])
        n = len(axes.scale)  # where cells vary along fewer, the others lead nowhere
        module.center.copy_(torch.from_numpy(axes.center))
        module.loadings[:, :n].copy_(torch.from_numpy(axes.loadings.copy()))
        module.scale[:n].copy_(torch.from_numpy(axes.scale))
        reach = np.maximum(BEYOND * axes.farthest, LEAST_REACH)
        module.reach[:n].copy_(torch.from_numpy(reach))
        if self.vocabulary.embedding is None:
            return
        applied, treatment = treatments(self.adata.obs, conditions)
        trained = np.unique(treatment[cells])
        trained = trained[~applied.is_control[trained]]
        vectors = self.vocabulary.encode_perturbations(applied.take(trained)).astype(np.float64)
        varies = np.ptp(vectors, axis=0) > VARIES * np.abs(vectors).max(axis=0)
        scale = np.where(varies, vectors.std(axis=0), np.inf)  # what is constant becomes 0
        module.vector_center.copy_(torch.from_numpy(vectors.mean(axis=0)))
        module.vector_scale.copy_(torch.from_numpy(scale))
