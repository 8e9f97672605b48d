"""Predict every perturbation as if it had never been tried."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from pertscope._core.conditions import screen_conditions
from pertscope._core.deg_labels import require_labels
from pertscope._core.keys import FOLD, SPLITS, UNS
from pertscope._core.matrix import refuse_counts
from pertscope._core.predictions import align_prediction, store_prediction, stored_predictions
from pertscope._core.screen import Screen, require_actual
from pertscope._core.unseen import (
    NO_CHANGE,
    OF_LABELS,
    PLAIN_BOUNDS,
    RANDOM,
    TRAIN_DRAW,
    TRAIN_MEAN,
    TRAIN_MODE,
    perturbation_folds,
)
from pertscope.models.interruption import TrainingInterruptedWarning
from pertscope.models.requests import as_prediction
from pertscope.tl._compared import compared
from pertscope.tl._fold_learners import Regression, learner
from pertscope.tl._out_of_fold import fold_column, read_folds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from anndata import AnnData

    from pertscope.models.response._regression import RegressionOptions
    from pertscope.tl._out_of_fold import Folds

    Step = Callable[[], object]

N_DIMS = 100
"""Dimensions of the random and of the idealised embedding."""


def cross_validate(
    adata: AnnData,
    model: str = "knn",
    embeddings: str | Sequence[str | Sequence[str]] = (),
    *,
    bounds: str | Sequence[str] = (),
    n_folds: int = 5,
    alias: Mapping[str, str] | None = None,
    seed: int = 0,
    key_added: str | None = None,
    **settings: Any,
) -> None:
    """Compare embeddings: predict each perturbation from those of the other folds.

    Perturbations are dealt into folds, the same ones in every combination of covariates and those
    of :func:`pertscope.pp.split_unseen`. For each embedding and fold, the model learns from the
    other folds and predicts the conditions of the fold; together that is one prediction of all
    conditions, which stays in the screen. Judge it with ``split=None``. A condition that applies
    several perturbations trains only where none of them is held out, and is predicted once, in the
    first of their folds.

    Parameters
    ----------
    adata
        Registered screen: of effects (:func:`pertscope.tl.effects`), or of cells on a log or
        standardised scale.
    model
        A regressor of effects: ``"knn"``, ``"ridge"``, ``"lasso"``, ``"elastic_net"``,
        ``"bilinear"``, ``"linear"`` or ``"mlp"``; of labels (:func:`pertscope.tl.deg_labels`)
        ``"logistic"``; see :class:`pertscope.models.EmbeddingRegression`. Or the name of any model
        that takes a ``perturbation_embedding``, such as ``"embedding_fusion"`` or
        ``"latent_additive"``: it is made and trained anew in each fold; a fifth of the training
        perturbations are val, by which networks stop.
    embeddings
        Names of the embeddings (:func:`pertscope.pp.add_perturbation_embedding`); several in a list
        of their own, ``["a", ["a", "b"]]``, are joined and called ``"a+b"``. Names that would make
        a prediction read as a bound, such as ``"random"``, are refused.
    bounds
        What to hold them against: ``"train_mean"``, the mean effect of the other folds; of labels
        ``"train_mode"``, the most frequent one that the gene has in the other folds, and
        ``"train_draw"``, one drawn from these; ``"no_change"``; ``"random"``, vectors of 100
        numbers between 0 and 1; ``"idealised"``, the 100 principal components of all effects, those
        to predict among them, as they are. The latter two are embeddings of the regressor; where
        `model` is none, of ``"knn"`` as it is by default, and if the screen has them already, made
        in the same folds, they stay as they are, whatever the settings.
    n_folds
        Number of folds.
    alias
        Name in the screen -> other name of the same perturbation. Two labels of one perturbation,
        by `alias` or but for capitals and spaces, are refused: they would be a leak.
    seed
        Seed of the folds, of the inner folds, and of what else is drawn.
    key_added
        What the names of predictions begin with; by default the model.
    **settings
        Further settings of :class:`pertscope.models.EmbeddingRegression`, such as ``n_neighbors``;
        or of the model and of its ``train()``.

    Returns
    -------
    ``None``. Writes ``.obs["fold"]``, categorical, missing for controls, and for each embedding
    ``.uns["pertscope"]["predictions"][f"{key_added}_{embedding}"]``, an AnnData
    ``(conditions, genes)``, float32; bounds are ``"train_mean"``, ``"train_mode"``,
    ``"train_draw"``, ``"no_change"``, ``f"{key_added}_random"`` and ``f"{key_added}_idealised"``,
    or ``"knn_random"`` and ``"knn_idealised"``.

    Raises
    ------
    KeyError
        If the screen is not registered, or has no such embedding.
    TypeError
        If the number of folds is no integer, or numbers to choose from are no list.
    ValueError
        If there are fewer perturbations than folds, two labels for one perturbation, other folds in
        ``.obs["fold"]``, an embedding from which nothing can be learned or whose prediction would
        read as a bound, or too few perturbations for a network to stop by.

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
    learns = learner(model, settings, seed)
    options, prefix = learns.bound_options, model if key_added is None else key_added
    regresses = isinstance(learns, Regression)
    of_bounds = prefix if regresses else options.regressor
    wanted = compared(adata, embeddings, bounds, (prefix, of_bounds))
    conditions = screen_conditions(adata, screen)
    of = perturbation_folds(conditions, n_folds, alias=alias, seed=seed)
    folds, control = read_folds(adata, conditions, of, n_folds)
    for bound in [b for b in OF_LABELS if b in wanted]:
        require_labels(folds.effects, f"effects of which {bound!r} takes one")
    column = fold_column(conditions, folds)
    _require_same_folds(adata, column)
    if not regresses and FOLD in adata.obs:  # bounds of other settings may be there, with scores
        there = stored_predictions(adata).keys() - set(PLAIN_BOUNDS)
        wanted = {k: w for k, w in wanted.items() if not isinstance(w, str) or k not in there}
    n_jobs = len(list(folds.sides()))  # refuses what has nothing to train on
    n_steps = learns.n_steps(folds)
    made: dict[str, AnnData] = {}
    ones, genes = np.ones(len(control), np.int64), [str(g) for g in adata.var_names]
    total = sum(
        n_jobs if isinstance(w, str) else n_steps
        for k, w in wanted.items()
        if k not in PLAIN_BOUNDS
    )
    try:
        with tqdm(total=total, desc="cross-validating", leave=False) as bar:
            for key, what in wanted.items():
                if isinstance(what, str):
                    effects = _bound(what, folds, options, bar.update)
                else:
                    effects = learns.effects(adata, what, folds, control, bar.update)
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


def _require_same_folds(adata: AnnData, column: pd.Categorical) -> None:
    if FOLD not in adata.obs:
        return
    there = adata.obs[FOLD].astype(object).where(adata.obs[FOLD].notna(), "").astype(str)
    if not np.array_equal(there, pd.Series(column).astype(object).fillna("").astype(str)):
        raise ValueError(
            f"`.obs[{FOLD!r}]` holds other folds: use the `n_folds` and `seed` they were made "
            f"with, or `del adata.obs[{FOLD!r}]`, and do not compare with predictions made by them."
        )


def _bound(name: str, folds: Folds, options: RegressionOptions, step: Step) -> np.ndarray:
    """Effects of a bound, float32 ``(conditions, genes)``."""
    if name == TRAIN_MEAN:
        return folds.train_means()
    if name == TRAIN_MODE:
        return folds.train_modes()
    if name == TRAIN_DRAW:
        return folds.train_draws(options.seed)
    if name == NO_CHANGE:
        return np.zeros_like(folds.effects)
    random = name == RANDOM
    sources = folds.random(N_DIMS, options.seed) if random else folds.idealised(N_DIMS)
    return folds.regress(name, sources, options, step)
