"""Effects from what was done and where: for contexts in which nothing was tried."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

import numpy as np
import torch

from pertscope.models.checks import require_positive, require_share
from pertscope.models.control_means import context_names, controls_by_context, places_of
from pertscope.models.embedding_network import EmbeddingNetwork
from pertscope.models.response.context_mlp.module import ContextMLPModule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from pertscope._core.conditions import Conditions

CONTROLS, ONE_HOT = "controls", "one_hot"


@final
class ContextMLP(EmbeddingNetwork):
    """Multilayer perceptron on the embedding of a perturbation and its context.

    ``e(p, c) = f([z_p, z_c])``: z_p is the standardised vector of the perturbation, z_c says in
    which combination of covariates it is applied, from the mean m_c of its control cells: the
    scores of m_c on the principal components of the contexts to train on. So it predicts a line in
    which no perturbation was tried, from its controls alone (:func:`pertscope.pp.split_contexts`).

    Parameters
    ----------
    adata
        Registered, split screen: of cells, or of effects (:func:`pertscope.tl.effects`).
    perturbation_embedding
        Name of an embedding (:func:`pertscope.pp.add_perturbation_embedding`), or several names,
        whose vectors stand side by side; by default one-hot perturbations, which must be seen
        somewhere: what the embedding adds is seen against that.
    context
        ``"controls"``, or ``"one_hot"``: one-hot covariates, which tell contexts apart but say
        nothing of one that training does not see.
    n_components
        Most principal components of the controls.
    n_hidden
        Width of the hidden layers.
    n_layers
        Hidden layers.
    dropout
        Share of hidden units dropped in training.
    seed
        Seed of weights, order, dropout, and of the conditions to validate on.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction (2025), the comparison
    across contexts; the form of the context is ours.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=6, n_genes=30, seed=0)
    >>> ps.models.ContextMLP.setup_anndata(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_contexts(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.models.ContextMLP(adata, n_hidden=32)
    >>> model.train(max_epochs=2)
    >>> model.predict().n_vars
    30
    """

    name: ClassVar[str] = "context_mlp"

    def __init__(
        self,
        adata: AnnData,
        *,
        perturbation_embedding: str | Sequence[str] | None = None,
        context: str = CONTROLS,
        n_components: int = 50,
        n_hidden: int = 512,
        n_layers: int = 2,
        dropout: float = 0.1,
        seed: int = 0,
    ) -> None:
        if context not in (CONTROLS, ONE_HOT):
            raise ValueError(f"`context`={context!r} must be {CONTROLS!r} or {ONE_HOT!r}.")
        require_positive(n_components=n_components, n_hidden=n_hidden)
        require_share(dropout=dropout)
        if n_layers < 0:
            raise ValueError(f"`n_layers`={n_layers} must not be negative.")
        super().__init__(
            adata,
            perturbation_embedding=perturbation_embedding,
            context=context,
            n_components=n_components,
            n_hidden=n_hidden,
            n_layers=n_layers,
            dropout=dropout,
            seed=seed,
        )

    def _fix(self, train: Conditions, _: np.ndarray) -> dict[str, np.ndarray]:
        fixed = self._scales(train)
        if self.settings["context"] == ONE_HOT:
            return fixed | self._one_hot_covariates(train)
        names, means = controls_by_context(self.adata, self.screen)
        trained = np.isin(names, context_names(train))
        scores = _scores(means, trained, self.settings["n_components"])
        return fixed | {"contexts": names, "scores": scores}

    def _build(self, mean: torch.Tensor) -> ContextMLPModule:
        of_controls = self.settings["context"] == CONTROLS
        n = self._fixed["scores"].shape[1] if of_controls else self.vocabulary.n_covariates
        shape = {k: self.settings[k] for k in ("n_hidden", "n_layers", "dropout")}
        return ContextMLPModule(sum(self.widths), n, mean=mean, **shape)

    def _inputs(self, conditions: Conditions) -> tuple[torch.Tensor, ...]:
        vectors, _ = self._scaled(conditions)
        if self.settings["context"] == ONE_HOT:
            return vectors, self._covariates(conditions)
        scores = self._fixed["scores"][places_of(conditions, self._fixed["contexts"])]
        return vectors, torch.from_numpy(scores)


def _scores(means: np.ndarray, trained: np.ndarray, n_components: int) -> np.ndarray:
    """Scores of contexts on the components of those to train on, float32 ``(contexts, n)``.

    In units of the standard deviation of the first: what varies little stays small.
    """
    centred = means - means[trained].mean(axis=0)
    _, size, axes = np.linalg.svd(centred[trained], full_matrices=False)
    n = min(n_components, max(int(trained.sum()) - 1, 0))
    scores = centred @ axes[:n].T
    unit = size[0] / np.sqrt(trained.sum())
    return (scores / (unit or 1.0)).astype(np.float32)
