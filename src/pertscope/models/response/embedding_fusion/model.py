"""Effects from several embeddings of perturbations, fused by attention."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
import torch

from pertscope.models.checks import require_positive, require_share
from pertscope.models.control_means import context_names, controls_by_context, places_of
from pertscope.models.embedding_network import CENTER, EmbeddingNetwork
from pertscope.models.response.embedding_fusion.full_module import FullFusionModule
from pertscope.models.response.embedding_fusion.informative import informative
from pertscope.models.response.embedding_fusion.module import FusionModule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from pertscope._core.conditions import Conditions
    from pertscope.nn.effect_module import EffectModule

SIMPLE, FULL = "simple", "full"
SIZES = {SIMPLE: {"n_layers": 4, "n_heads": 5}, FULL: {"n_layers": 8, "n_heads": 10}}
"""What the paper took."""
ADDED, TOKEN = "added", "token"
KEPT = "kept"
"""Places of the embeddings that are fused, among what is fixed in training."""


@final
class EmbeddingFusion(EmbeddingNetwork):
    """Attention among several embeddings of a perturbation, in all covariates at once.

    Each embedding becomes a token ``q_s = dropout(W_s z_s + b_s)``; a transformer mixes them with a
    token CLS, and the effect is read from the latter. Embeddings that have no vector for a
    perturbation are masked.

    - ``"simple"``: a learned vector of the covariates, ``dropout(LN(v))``, is added to all tokens,
      or is a token of its own; ``e = W CLS + b``; the loss is the L2 error of the effect.
    - ``"full"``: attention is gated by ``sigmoid(W x)``. The context is the code of an autoencoder
      of mean control expression, of length 1, next to CLS in a head of two hidden layers, so that
      it predicts for controls in whose line nothing was tried. The loss also holds the
      reconstruction of each embedding from its token and of the controls from their code; whole
      embeddings are dropped in training.

    Parameters
    ----------
    adata
        Registered, split screen: of cells, or of effects (:func:`pertscope.tl.effects`).
    perturbation_embedding
        Names of embeddings (:func:`pertscope.pp.add_perturbation_embedding`), or one name.
    kind
        ``"simple"`` or ``"full"``.
    covariates
        Of ``"simple"``: ``"added"`` to all tokens, or a ``"token"``.
    n_dims
        Length of a token.
    n_layers, n_heads
        Blocks and heads of the transformer; by default 4 and 5, or 8 and 10 of ``"full"``.
    dropout
        Share of a token dropped in training.
    drop_useless
        Leave out embeddings from which a stack of ridge regressions takes nothing (under a
        hundredth of the largest squared effect): among hundreds of perturbations attention learns
        their noise by heart. ``model.fused`` names the others.
    seed
        Seed of weights, order, dropout, and of the perturbations to validate on.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction (2025), 4.9.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=8, n_genes=30, seed=0)
    >>> ps.models.EmbeddingFusion.setup_anndata(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> genes = sorted(set(adata.obs["perturbation"]) - {"control"})
    >>> for i, name in enumerate(["first", "second"]):
    ...     table = pd.DataFrame(np.random.default_rng(i).random((8, 3)), index=genes)
    ...     ps.pp.add_perturbation_embedding(adata, table, name)  # doctest: +ELLIPSIS
    first: ...
    second: ...
    >>> ps.pp.split_unseen(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.models.EmbeddingFusion(adata, perturbation_embedding=["first", "second"])
    >>> model.train(max_epochs=1)
    >>> model.predict().n_vars
    30
    """

    name: ClassVar[str] = "embedding_fusion"

    def __init__(
        self,
        adata: AnnData,
        *,
        perturbation_embedding: str | Sequence[str],
        kind: str = SIMPLE,
        covariates: str = ADDED,
        n_dims: int = 100,
        n_layers: int | None = None,
        n_heads: int | None = None,
        dropout: float = 0.1,
        drop_useless: bool = True,
        seed: int = 0,
    ) -> None:
        if perturbation_embedding is None:
            raise ValueError("`perturbation_embedding` must name the embeddings to fuse.")
        if kind not in SIZES:
            raise ValueError(f"`kind`={kind!r} must be one of {tuple(SIZES)}.")
        if covariates not in (ADDED, TOKEN):
            raise ValueError(f"`covariates`={covariates!r} must be {ADDED!r} or {TOKEN!r}.")
        if kind == FULL and covariates != ADDED:
            raise ValueError(f"`covariates`={covariates!r} is for `kind`={SIMPLE!r}.")
        require_positive(n_dims=n_dims, n_layers=n_layers, n_heads=n_heads)
        require_share(dropout=dropout)
        heads = SIZES[kind]["n_heads"] if n_heads is None else n_heads
        if n_dims % heads:
            raise ValueError(f"`n_dims`={n_dims} must be a multiple of `n_heads`={heads}.")
        super().__init__(
            adata,
            perturbation_embedding=perturbation_embedding,
            kind=kind,
            covariates=covariates,
            n_dims=n_dims,
            n_layers=n_layers,
            n_heads=n_heads,
            dropout=dropout,
            drop_useless=drop_useless,
            seed=seed,
        )

    @property
    def fused(self) -> list[str]:
        """Embeddings that the trained model fuses."""
        self._require_trained()
        return [self._names[i] for i in self._fixed[KEPT]]

    def _fix(self, train: Conditions, effects: np.ndarray) -> dict[str, np.ndarray]:
        fixed, sources = self._scales(train), self._sources(train)
        useful = np.ones(len(sources.widths), bool)
        if self.settings["drop_useless"]:
            group, seed = context_names(train), self.settings["seed"]
            useful = informative(sources, effects, group, seed=seed)
            for block in itertools.compress(sources.blocks, ~useful):
                fixed[CENTER][block] = np.nan  # what has no other vector is not known
        fixed[KEPT] = np.flatnonzero(useful)
        if self.settings["kind"] == FULL:
            names, means = controls_by_context(self.adata, self.screen)
            centred = means - means.mean(axis=0)
            scaled = (centred / (centred.std() or 1.0)).astype(np.float32)
            return fixed | {"contexts": names, "controls": scaled}
        return fixed | self._one_hot_covariates(train)

    def _build(self, mean: torch.Tensor) -> EffectModule:
        settings = self.settings
        widths = tuple(self.widths[i] for i in self._fixed[KEPT])
        shape: dict[str, Any] = {k: settings[k] for k in ("n_dims", "dropout")}
        shape |= {
            k: v if settings[k] is None else settings[k] for k, v in SIZES[settings["kind"]].items()
        }
        if settings["kind"] == FULL:
            contexts = torch.from_numpy(self._fixed["controls"])
            return FullFusionModule(widths, contexts, mean=mean, **shape)
        as_token = settings["covariates"] == TOKEN
        n = self.vocabulary.n_covariates
        return FusionModule(widths, n, mean=mean, as_token=as_token, **shape)

    def _inputs(self, conditions: Conditions) -> tuple[torch.Tensor, ...]:
        vectors, there = self._scaled(conditions)
        kept = self._fixed[KEPT]
        blocks = vectors.split(self.widths, dim=1)
        vectors, there = torch.cat([blocks[i] for i in kept], dim=1), there[:, kept]
        if self.settings["kind"] == FULL:
            places = places_of(conditions, self._fixed["contexts"])
            return vectors, there, torch.from_numpy(places)
        return vectors, there, self._covariates(conditions)
