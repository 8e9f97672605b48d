"""One regression from embeddings to effects: what is learned of one combination of covariates."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pertscope._core.deg_labels import most_frequent_labels, require_labels
from pertscope.models.checks import require_positive
from pertscope.models.response._embedding_features import (
    N_LEAST,
    Sources,
    features_of,
    fit_features,
)
from pertscope.models.response._linear_regression import (
    fit_linear,
    linear_effects,
    linear_errors,
)
from pertscope.models.response._logistic_regression import (
    fit_logistic,
    logistic_errors,
    logistic_labels,
)
from pertscope.models.response._mlp_regression import fit_mlp, mlp_effects
from pertscope.models.response._neighbor_regression import (
    METRICS,
    WEIGHTS,
    neighbor_errors,
    neighbor_mean,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

KNN, LINEAR, MLP, LOGISTIC = "knn", "linear", "mlp", "logistic"
BILINEAR = "bilinear"
PENALISED = ("ridge", "lasso", "elastic_net", BILINEAR)
CONCAT, STACK = "concat", "stack"
REGRESSORS = (KNN, *PENALISED, LINEAR, MLP, LOGISTIC)
PENALTIES = (1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)
LOGISTIC_PENALTIES = (1e-7, 1e-5, 1e-3, 0.1, 1.0)


@dataclass(frozen=True, kw_only=True)
class RegressionOptions:
    """What is fitted, and among what is chosen; :class:`pertscope.models.EmbeddingRegression`."""

    regressor: str = "knn"
    join: str = CONCAT
    n_components: int = 100
    n_neighbors: Sequence[int] = (20, 40, 60, 80, 100)
    metric: str = "l2"
    weights: str = "uniform"
    penalties: Sequence[float] | None = None
    l1_ratio: float = 0.5
    n_hidden: int = 256
    n_inner_folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        choices = {
            "regressor": REGRESSORS,
            "join": (CONCAT, STACK),
            "metric": METRICS,
            "weights": WEIGHTS,
        }
        for name, known in choices.items():
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"`{name}`={value!r} must be one of {known}.")
        if self.metric == METRICS[-1] and self.regressor != KNN:
            raise ValueError(f"`metric`={self.metric!r} is for `regressor`={KNN!r}.")
        if self.join == STACK and self.regressor == LOGISTIC:
            raise ValueError(
                f"`join`={STACK!r} weighs effects, and {LOGISTIC!r} has labels: use {CONCAT!r}."
            )
        require_positive(n_components=self.n_components, n_hidden=self.n_hidden)
        _require_choices("n_neighbors", self.n_neighbors, least=1)
        if self.penalties is not None:
            _require_choices("penalties", self.penalties, least=np.nextafter(0, 1))
        if not 0 < self.l1_ratio <= 1:
            raise ValueError(f"`l1_ratio`={self.l1_ratio} must be above 0 and at most 1.")
        if self.n_inner_folds < 2:
            raise ValueError(f"`n_inner_folds`={self.n_inner_folds} must be at least 2.")

    @property
    def ratio(self) -> float:
        """Share of the penalty that is of absolute values; the rest is of squares."""
        return {"lasso": 1.0, "elastic_net": self.l1_ratio}.get(self.regressor, 0.0)

    def candidates(self, n_train: int, n_inner: int) -> list[float]:
        """What is chosen among: numbers of neighbours that there can be, or penalties."""
        if self.regressor == KNN:
            most = n_train - -(-n_train // n_inner)  # outside the largest fold
            return sorted({float(min(k, most)) for k in self.n_neighbors})
        if self.regressor not in (*PENALISED, LOGISTIC):
            return [0.0]
        usual = LOGISTIC_PENALTIES if self.regressor == LOGISTIC else PENALTIES
        return list(usual if self.penalties is None else self.penalties)


def _require_choices(name: str, values: Sequence[float], *, least: float) -> None:
    if isinstance(values, str) or not isinstance(values, Collection):
        raise TypeError(f"`{name}`={values!r} must be a list of numbers to choose from.")
    if not len(values) or not min(values) >= least:
        raise ValueError(f"`{name}`={list(values)} must be positive.")


def require_learned(name: str, learned: Iterable[bool]) -> None:
    """Refuse an embedding from which no regression learned anything.

    Raises
    ------
    ValueError
        If there is none that did.
    """
    if not any(learned):
        raise ValueError(
            f"nothing can be learned from {name!r}: no two training perturbations of the same "
            "covariates have vectors that differ."
        )


def inner_folds(n: int, n_folds: int, seed: int) -> np.ndarray:
    """Fold of each of n training rows, int64 ``(n,)``; one row each where there are fewer."""
    return np.random.default_rng(seed).permutation(n) % min(n_folds, n)


def learn_features(sources: Sources, options: RegressionOptions) -> dict[str, np.ndarray]:
    """Arrays by which vectors become features; none where vectors are features as they are."""
    if sources.as_is or options.metric == METRICS[-1]:
        return {}
    return fit_features(sources, options.n_components)


def fit_regression(
    sources: Sources,
    effects: np.ndarray,
    options: RegressionOptions,
    *,
    gram: np.ndarray | None = None,
    features: dict[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Fit the effects of the training conditions of one combination of covariates.

    Parameters
    ----------
    sources
        Their vectors; conditions without any only count in the mean.
    effects
        Their effects, float ``(n, genes)``.
    gram
        ``Y Y'`` of these effects, whatever is taken off all of them, where it is known, float64
        ``(n, n)``.
    features
        What :func:`learn_features` learned from those with vectors, where it is known.

    Returns
    -------
    ``"mean"`` ``(genes,)``, of labels the most frequent one, and, if there is something to learn
    from, the features' arrays, the ``"chosen"`` number of neighbours or penalty, and what belongs
    to the regressor.

    Raises
    ------
    ValueError
        If labels are to be learned, and the effects are none.
    """
    mean, labels = effects.mean(axis=0, dtype=np.float64), options.regressor == LOGISTIC
    if labels:
        require_labels(effects, f"effects that {LOGISTIC!r} predicts")
        mean = most_frequent_labels(effects).astype(np.float64)
    arrays: dict[str, np.ndarray] = {"mean": mean}
    known = np.flatnonzero(sources.known)
    if len(known) < N_LEAST:
        return arrays
    y = effects
    if len(known) < len(effects):
        sources, y = sources.take(known), effects[known]
        gram = None if gram is None else gram[np.ix_(known, known)]
    learned = features
    if learned is None:
        learned = learn_features(sources, options)
    z = features_of(learned, sources.vectors)
    if z.shape[1] == 0:
        return arrays
    inner = min(options.n_inner_folds, len(y))
    candidates = options.candidates(len(y), inner)
    fold = inner_folds(len(y), inner, options.seed)
    errors = np.zeros(1)
    if len(candidates) > 1:
        if options.regressor == KNN:
            if gram is None:
                centred = y - y.mean(axis=0, dtype=np.float64)
                gram = centred @ centred.T
            numbers = [int(k) for k in candidates]
            how = {"metric": options.metric, "weights": options.weights}
            errors = neighbor_errors(z, gram, fold, numbers, **how)
        elif labels:
            errors = logistic_errors(z, y, fold, candidates, seed=options.seed)
        else:
            two_sided = options.regressor == BILINEAR
            errors = linear_errors(
                z, y, fold, candidates, l1_ratio=options.ratio, bilinear=two_sided
            )
    chosen = candidates[int(np.argmin(errors))]
    return arrays | learned | {"chosen": np.array(chosen)} | _final(z, y, chosen, fold, options)


def _final(
    z: np.ndarray, y: np.ndarray, chosen: float, fold: np.ndarray, options: RegressionOptions
) -> dict[str, np.ndarray]:
    """The regressor fitted to all training rows."""
    if options.regressor == KNN:
        return {"features": z, "effects": y.astype(np.float32, copy=False)}
    if options.regressor == MLP:
        return fit_mlp(z, y, fold == 0, n_hidden=options.n_hidden, seed=options.seed)
    if options.regressor == LOGISTIC:
        return {"coefficients": fit_logistic(z, y, chosen)}
    bilinear = options.regressor == BILINEAR
    return {"coefficients": fit_linear(z, y, chosen, options.ratio, bilinear=bilinear)}


def predict_regression(
    arrays: dict[str, np.ndarray], sources: Sources, options: RegressionOptions
) -> np.ndarray:
    """Effects of conditions, ``(conditions, genes)``; the training mean where nothing is known."""
    found = np.tile(arrays["mean"], (len(sources.vectors), 1))
    rows = np.flatnonzero(sources.known)
    if "chosen" not in arrays or not len(rows):
        return found
    z = features_of(arrays, sources.vectors[rows])
    if options.regressor == KNN:
        how: dict[str, Any] = {"metric": options.metric, "weights": options.weights}
        k = int(arrays["chosen"])
        found[rows] = neighbor_mean(arrays["features"], arrays["effects"], z, k, **how)
    elif options.regressor == MLP:
        found[rows] = mlp_effects(arrays, z)
    elif options.regressor == LOGISTIC:
        found[rows] = logistic_labels(arrays["coefficients"], z)
    else:
        found[rows] = linear_effects(arrays["coefficients"], z)
    return found
