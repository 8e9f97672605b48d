"""Does a trained model fit a screen?"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from pertscope._core.conditions import screen_conditions
from pertscope._core.matrix import looks_like_counts, matrix_of, refuse_counts
from pertscope._core.messages import listed, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData

    from pertscope._core.screen import Screen
    from pertscope.models.base import ResponseModel
    from pertscope.models.encoding import Vocabulary


COUNTS = ("nb", "zinb")
"""Likelihoods of counts."""


def require_scale(adata: AnnData, layer: str | None, likelihood: str | None, who: str) -> None:
    """Refuse counts, or anything but counts where the likelihood is one of counts."""
    if likelihood not in COUNTS:
        refuse_counts(adata, layer, who)
    elif not looks_like_counts(matrix_of(adata, layer)):
        where = _where(layer)
        raise ValueError(
            f"{where} holds no counts, which `likelihood={likelihood!r}` needs: register the layer "
            "that does, `ps.pp.register(adata, ..., layer='counts')`."
        )


def _where(layer: str | None) -> str:
    return "`.X`" if layer is None else f"layer {layer!r}"


def require_agreement(settings: Mapping[str, Any]) -> None:
    """Refuse settings of a network that contradict each other."""
    likelihood = settings.get("likelihood", "mse")
    if likelihood in COUNTS and settings.get("use_rep") is not None:
        raise ValueError(
            f"`likelihood={likelihood!r}` takes the total of a cell from its counts: it cannot go "
            "with `use_rep`."
        )
    if likelihood != "mse" and settings.get("softplus"):
        raise ValueError(f"`softplus` goes with `likelihood='mse'` only, not {likelihood!r}.")


def require_genes(genes: Sequence[str], adata: AnnData) -> None:
    """Refuse a screen whose genes are not the model's, in their order."""
    there = list(adata.var_names)
    if there == list(genes):
        return
    missing = sorted(set(genes) - set(there))
    if missing:
        raise ValueError(
            f"the screen lacks {len(missing)} of the model's {len(genes)} genes: {listed(missing)}."
        )
    raise ValueError(
        f"the screen's {len(there)} genes are not the model's {len(genes)} in their order: pass "
        "`adata[:, model.genes]`, or subset before loading."
    )


def require_same(model: ResponseModel, adata: AnnData, trained: Mapping[str, Any]) -> None:
    """Refuse a screen that a model cannot read or predict, which was trained on another.

    Warns where its layer is another than that of the screen the model was trained on.
    """
    require_genes(model.genes, adata)
    layer, settings = model.screen.layer, model.settings
    require_scale(adata, layer, settings.get("likelihood"), type(model).__name__)
    require_vocabulary(model.vocabulary, adata, model.screen, with_doses=model.knows_doses)
    encoder_input(adata, settings.get("use_rep"), layer)
    before, now = (_where(name) for name in (trained.get("layer"), layer))
    if before != now:
        warnings.warn(
            f"the model was trained on {before}, and reads {now}, which this screen is registered "
            "with: that is right only if both hold the same kind of values. Otherwise register "
            "the layer that does, `ps.pp.register(adata, ..., layer=...)`.",
            UserWarning,
            stacklevel=3,
        )


def require_vocabulary(
    vocabulary: Vocabulary, adata: AnnData, screen: Screen, *, with_doses: bool
) -> None:
    """Refuse a screen with other covariates than the model's, or with none of its perturbations.

    With doses, also one that has them where the model has not, or the other way round.
    """
    if with_doses and (screen.dose_key is None) != (vocabulary.doses is None):
        told = "without" if vocabulary.doses is None else "with"
        raise ValueError(f"the model was trained {told} doses: register the screen likewise.")
    if list(screen.covariate_keys) != list(vocabulary.covariates):
        raise ValueError(
            f"the screen has covariates {list(screen.covariate_keys)}, the model was trained with "
            f"{list(vocabulary.covariates)}: register the same."
        )
    conditions = screen_conditions(adata, screen)
    vocabulary.encode_covariates(conditions.take(np.flatnonzero(conditions.is_control)))
    known = set(vocabulary.perturbations)
    if vocabulary.embedding is not None:
        known |= set(vocabulary.embedding.names)
    there = {p for parts in conditions.components for p in parts}
    if not known & there:
        raise ValueError(
            "the screen and the model share no perturbation: the model knows "
            f"{listed(sorted(known))}, the screen has {listed(sorted(there))}."
        )


def encoder_input(adata: AnnData, use_rep: str | None, layer: str | None) -> Any:
    """What an encoder sees of each cell: a representation in ``.obsm``, or the expression.

    Raises
    ------
    KeyError
        If ``.obsm`` has no `use_rep`.
    ValueError
        If it holds NaN or infinite values.
    """
    if use_rep is None:
        return matrix_of(adata, layer)
    if use_rep not in adata.obsm:
        raise KeyError(f"`.obsm` has no {use_rep!r}; {nearest(use_rep, adata.obsm)}.")
    found = adata.obsm[use_rep]
    x = np.asarray(found.toarray() if sp.issparse(found) else found, dtype=np.float32)
    if x.ndim != 2 or not np.isfinite(x).all():
        raise ValueError(
            f"`.obsm[{use_rep!r}]` must be a table of finite numbers, one row per cell."
        )
    return x


def require_dims(use_rep: str | None, there: int, wanted: int) -> None:
    """Refuse a representation that is not as wide as the one a model was trained with."""
    if there != wanted:
        raise ValueError(
            f"`.obsm[{use_rep!r}]` has {there} dimensions, the model was trained with {wanted}: "
            "store the same representation of these cells."
        )


def require_positive(**numbers: int | None) -> None:
    """Refuse numbers below one; ``None`` is no number."""
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise ValueError(f"`{name}`={value} must be positive.")


def require_share(**numbers: float) -> None:
    """Refuse shares that are not at least 0 and below 1."""
    for name, value in numbers.items():
        if not 0 <= value < 1:
            raise ValueError(f"`{name}`={value} must be at least 0 and below 1.")
