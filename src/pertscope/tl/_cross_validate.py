"""Predict every perturbation as if it had never been tried."""

from __future__ import annotations

import json
import warnings
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from pertscope._core.conditions import screen_conditions
from pertscope._core.keys import SPLITS, UNS, check_key
from pertscope._core.matrix import refuse_counts
from pertscope._core.messages import listed, nearest
from pertscope._core.perturbation_embedding import read_embedding
from pertscope._core.predictions import align_prediction, store_prediction
from pertscope._core.screen import Screen, require_actual
from pertscope._core.unseen import perturbation_folds
from pertscope.models.interruption import TrainingInterruptedWarning
from pertscope.models.requests import as_prediction
from pertscope.models.response._embedding_features import say_what_is_missing
from pertscope.models.response._regression import RegressionOptions
from pertscope.tl._out_of_fold import Folds, fold_column, read_folds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from anndata import AnnData

    Step = Callable[[], object]

FOLD = "fold"
TRAIN_MEAN, NO_CHANGE, RANDOM, IDEALISED = "train_mean", "no_change", "random", "idealised"
BOUNDS = (TRAIN_MEAN, NO_CHANGE, RANDOM, IDEALISED)
JOINED = "+"
N_DIMS = 100
"""Dimensions of the random and of the idealised embedding."""


def cross_validate(
    adata: AnnData,
    regressor: str = "knn",
    embeddings: str | Sequence[str | Sequence[str]] = (),
    *,
    bounds: Sequence[str] = (),
    n_folds: int = 5,
    alias: Mapping[str, str] | None = None,
    seed: int = 0,
    key_added: str | None = None,
    **settings: Any,
) -> None:
    """Compare embeddings: predict each perturbation from those of the other folds.

    Perturbations are dealt into folds, the same ones in every combination of covariates and those
    of :func:`pertscope.pp.split_unseen`. For each embedding and fold, the regressor learns from the
    effects of the other folds and predicts those of the fold; together that is one prediction of
    all conditions, which stays in the screen. Judge it with ``split=None``. A condition that
    applies several perturbations trains only where none of them is held out, and is predicted once,
    in the first of their folds.

    Parameters
    ----------
    adata
        Registered screen: of effects (:func:`pertscope.tl.effects`), or of cells on a log or
        standardised scale.
    regressor
        ``"knn"``, ``"ridge"``, ``"lasso"``, ``"elastic_net"``, ``"linear"`` or ``"mlp"``; see
        :class:`pertscope.models.EmbeddingRegression`.
    embeddings
        Names of the embeddings (:func:`pertscope.pp.add_perturbation_embedding`); several in a list
        of their own, ``["a", ["a", "b"]]``, are joined and called ``"a+b"``.
    bounds
        What to hold them against: ``"train_mean"``, the mean effect of the other folds;
        ``"no_change"``; ``"random"``, vectors of 100 numbers between 0 and 1; ``"idealised"``, the
        100 principal components of all effects, those to predict among them, as they are.
    n_folds
        Number of folds.
    alias
        Name in the screen -> other name of the same perturbation. Two labels of one perturbation,
        by `alias` or but for capitals and spaces, are refused: they would be a leak.
    seed
        Seed of the folds, of the inner folds, and of what else is drawn.
    key_added
        What the names of predictions begin with; by default the regressor.
    **settings
        Further settings of :class:`pertscope.models.EmbeddingRegression`, such as ``n_neighbors``.

    Returns
    -------
    ``None``. Writes ``.obs["fold"]``, categorical, missing for controls, and for each embedding
    ``.uns["pertscope"]["predictions"][f"{key_added}_{embedding}"]``, an AnnData
    ``(conditions, genes)``, float32; bounds are ``"train_mean"``, ``"no_change"``,
    ``f"{key_added}_random"`` and ``f"{key_added}_idealised"``.

    Raises
    ------
    KeyError
        If the screen is not registered, or has no such embedding.
    ValueError
        If there are fewer perturbations than folds, two labels for one perturbation, other folds in
        ``.obs["fold"]``, or an embedding from which nothing can be learned.

    Warns
    -----
    UserWarning
        If conditions have no vector: they are left out in training, and predicted by the mean.
    TrainingInterruptedWarning
        If it was interrupted: the predictions that were done are kept.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction.

    Examples
    --------
    >>> import pandas as pd
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=12, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> screen = ps.tl.effects(adata)
    >>> genes = sorted(set(screen.obs["perturbation"]) - {"control"})
    >>> table = pd.DataFrame({"number": range(12)}, index=genes)
    >>> ps.pp.add_perturbation_embedding(screen, table, "number")  # doctest: +ELLIPSIS
    number: ...
    >>> ps.tl.cross_validate(screen, "knn", "number", bounds=["train_mean"], n_neighbors=[3])
    >>> ps.ev.error_metrics(screen, statistics=["effect"], split=None)
    >>> sorted(ps.get.scores(screen).index)
    ['knn_number', 'train_mean']
    """
    screen = Screen.of(adata)
    refuse_counts(adata, screen.layer, "`cross_validate`")
    options = _options(regressor, settings, seed)
    prefix = regressor if key_added is None else key_added
    wanted = _wanted(adata, embeddings, bounds, prefix)
    conditions = screen_conditions(adata, screen)
    of = perturbation_folds(conditions, n_folds, alias=alias, seed=seed)
    folds, control = read_folds(adata, conditions, of, n_folds)
    column = fold_column(conditions, folds)
    _require_same_folds(adata, column)
    n_jobs = len(list(folds.sides()))  # refuses what has nothing to train on
    made: dict[str, AnnData] = {}
    ones, genes = np.ones(len(control), np.int64), [str(g) for g in adata.var_names]
    n_regressed = len(wanted.keys() - {TRAIN_MEAN, NO_CHANGE})  # names of their own
    try:
        with tqdm(total=n_jobs * n_regressed, desc="cross-validating", leave=False) as bar:
            for key, what in wanted.items():
                if isinstance(what, str):
                    effects = _bound(what, folds, options, bar.update)
                else:
                    effects = _from_embeddings(adata, what, folds, options, bar.update)
                prediction = as_prediction(folds.conditions, ones, control + effects, genes)
                made[key] = align_prediction(prediction, adata, screen)
    except KeyboardInterrupt:
        if not made:
            raise
        warnings.warn(
            f"interrupted: {len(made)} of {len(wanted)} predictions were done, and are kept.",
            TrainingInterruptedWarning,
            stacklevel=2,
        )
    require_actual(adata)
    adata.obs[FOLD] = column
    how = {"function": "cross_validate", "n_folds": n_folds, "seed": seed}
    adata.uns[UNS].setdefault(SPLITS, {})[FOLD] = json.dumps(how)
    for key, prediction in made.items():
        store_prediction(adata, key, prediction)


def _options(regressor: str, settings: dict[str, Any], seed: int) -> RegressionOptions:
    known = {f.name for f in fields(RegressionOptions)} - {"regressor", "seed"}
    for name in settings:
        if name not in known:
            raise ValueError(f"there is no setting {name!r}; {nearest(name, sorted(known))}.")
    return RegressionOptions(regressor=regressor, seed=seed, **settings)


def _wanted(
    adata: AnnData,
    embeddings: str | Sequence[str | Sequence[str]],
    bounds: Sequence[str],
    prefix: str,
) -> dict[str, tuple[str, ...] | str]:
    """Name of each prediction -> its embeddings, or its bound."""
    each = [embeddings] if isinstance(embeddings, str) else embeddings
    sources = [(e,) if isinstance(e, str) else tuple(e) for e in each]
    for bound in bounds:
        if bound not in BOUNDS:
            raise ValueError(f"`bounds`: {bound!r} must be one of {BOUNDS}.")
    for name in {name for source in sources for name in source}:
        read_embedding(adata, name)  # refuses what is not there
    plain = (TRAIN_MEAN, NO_CHANGE)
    keys = [
        *(f"{prefix}_{JOINED.join(source)}" for source in sources),
        *(b if b in plain else f"{prefix}_{b}" for b in bounds),
    ]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice or not keys:
        told = f"two would be called {listed(twice)}" if twice else "there is nothing to compare"
        raise ValueError(f"`embeddings` and `bounds`: {told}.")
    return dict(zip(map(check_key, keys), [*sources, *bounds], strict=True))


def _require_same_folds(adata: AnnData, column: pd.Categorical) -> None:
    if FOLD not in adata.obs:
        return
    there = adata.obs[FOLD].astype(object).where(adata.obs[FOLD].notna(), "").astype(str)
    if not np.array_equal(there, pd.Series(column).astype(object).fillna("").astype(str)):
        raise ValueError(
            f"`.obs[{FOLD!r}]` holds other folds: use the `n_folds` and `seed` they were made "
            f"with, or `del adata.obs[{FOLD!r}]`, and do not compare with predictions made by them."
        )


def _from_embeddings(
    adata: AnnData, names: Sequence[str], folds: Folds, options: RegressionOptions, step: Step
) -> np.ndarray:
    """Effects that embeddings predict, float32 ``(conditions, genes)``."""
    name = JOINED.join(names)
    sources = folds.sources([read_embedding(adata, n) for n in names])
    say_what_is_missing(name, cross_validated=(folds.conditions.index, sources.known))
    return folds.regress(name, sources, options, step)


def _bound(name: str, folds: Folds, options: RegressionOptions, step: Step) -> np.ndarray:
    """Effects of a bound, float32 ``(conditions, genes)``."""
    if name == TRAIN_MEAN:
        return folds.train_means()
    if name == NO_CHANGE:
        return np.zeros_like(folds.effects)
    random = name == RANDOM
    sources = folds.random(N_DIMS, options.seed) if random else folds.idealised(N_DIMS)
    return folds.regress(name, sources, options, step)
