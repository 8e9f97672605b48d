"""Choose the features of profiles to keep."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pertscope._core import keys
from pertscope._core.matrix import is_backed, matrix_of
from pertscope._core.screen import Screen, require_actual

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

LEFT_OUT = "left_out"
REASONS = ("", "blocklist", "missing values", "low variance", "correlated")


def select_profile_features(
    adata: AnnData,
    *,
    max_missing: float = 0.0,
    min_variance: float = 1e-6,
    max_correlation: float = 0.9,
    blocklist: Sequence[str] = (),
    subset: bool = False,
) -> None:
    """Select features of image profiles that vary, are measured, and do not repeat each other.

    In this order: features on the blocklist, with missing values, and of low variance go; then, of
    every pair of the rest with ``|Pearson r|`` above `max_correlation`, the one with the larger sum
    of ``|r|`` over all the rest.

    Parameters
    ----------
    adata
        Registered screen of profiles with a dense registered layer; NaN is a missing value.
    max_missing
        Largest share of missing or infinite values of a feature.
    min_variance
        Smallest variance (ddof 0) of a feature.
    max_correlation
        Largest correlation of two features; 1 keeps all.
    blocklist
        Names of features, or patterns such as ``"*Brightfield*"``.
    subset
        Drop the other features, in place.

    Returns
    -------
    ``None``. Writes to ``.var``: ``selected``, bool ``(features,)``, and ``left_out``, categorical:
    why a feature was not selected, ``""`` for those that were.

    Raises
    ------
    ValueError
        If the layer is sparse or on disk, a limit is out of range, a pattern matches no feature, or
        no feature is left.

    References
    ----------
    Serrano et al., Reproducible image-based profiling with Pycytominer, Nature Methods 22 (2025),
    which leaves negative correlations in place.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, seed=0)
    >>> ps.pp.register(adata)
    >>> adata.X = adata.X.toarray()
    >>> adata.X[:, 1] = 2 * adata.X[:, 0]
    >>> ps.pp.select_profile_features(adata, blocklist=["g3"])
    >>> int((adata.var["left_out"] == "correlated").sum())
    1
    """
    if not 0 <= max_missing < 1 or not 0 < max_correlation <= 1 or min_variance < 0:
        raise ValueError(
            f"`max_missing`={max_missing} must be in [0, 1), `max_correlation`={max_correlation} "
            f"in (0, 1], `min_variance`={min_variance} not negative."
        )
    if isinstance(blocklist, str):
        raise TypeError(f"`blocklist` takes a list of names: [{blocklist!r}].")
    x = matrix_of(adata, Screen.of(adata).layer)
    if is_backed(x) or not isinstance(x, np.ndarray):
        raise ValueError("the registered layer must be a dense array in memory.")
    frame = pd.DataFrame(x, columns=adata.var_names).replace([np.inf, -np.inf], np.nan)
    reason = np.zeros(adata.n_vars, np.int8)
    reason[_blocked(adata.var_names, blocklist)] = 1
    reason[(reason == 0) & (frame.isna().mean(axis=0) > max_missing).to_numpy()] = 2
    variance = frame.var(axis=0, ddof=0).to_numpy()
    reason[(reason == 0) & ~(variance >= min_variance)] = 3
    rest = np.flatnonzero(reason == 0)
    reason[rest[_repeated(frame.iloc[:, rest], max_correlation)]] = 4
    if not (reason == 0).any():
        raise ValueError("no feature is left: raise the limits.")
    require_actual(adata)
    adata.var[keys.SELECTED] = reason == 0
    adata.var[LEFT_OUT] = pd.Categorical.from_codes(reason, categories=list(REASONS))
    if subset:
        adata._inplace_subset_var(reason == 0)


def _blocked(names: pd.Index, blocklist: Sequence[str]) -> np.ndarray:
    """Features that a pattern matches, bool ``(features,)``."""
    blocked = np.zeros(len(names), dtype=bool)
    for pattern in blocklist:
        matched = np.array([fnmatchcase(str(n), pattern) for n in names], dtype=bool)
        if not matched.any():
            raise ValueError(f"`blocklist`: {pattern!r} matches no feature.")
        blocked |= matched
    return blocked


def _repeated(frame: pd.DataFrame, max_correlation: float) -> np.ndarray:
    """Features that another one makes superfluous, bool ``(features,)``."""
    if frame.isna().to_numpy().any():
        correlation = frame.corr().to_numpy()
    else:
        correlation = np.atleast_2d(np.corrcoef(frame.to_numpy(np.float64), rowvar=False))
    correlation = np.abs(np.nan_to_num(correlation))
    order = np.argsort(np.argsort(correlation.sum(axis=0), kind="stable"))
    # a feature goes if one that is less correlated with all is nearly the same
    return ((correlation > max_correlation) & (order[:, None] > order)).any(axis=1)
