"""Hold out whole combinations of covariates."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.conditions import screen_conditions
from pertscope._core.keys import TEST, VAL
from pertscope._core.messages import listed
from pertscope._core.screen import Screen
from pertscope._core.spare import spare_conditions
from pertscope._core.splits import CONTEXTS, UNUSED, write_split
from pertscope.pp._split_custom import matching_contexts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData

    from pertscope._core.conditions import Conditions


def split_contexts(
    adata: AnnData,
    *,
    held_out: Sequence[Mapping[str, str]] | None = None,
    n_folds: int | None = None,
    fold: int = 0,
    val_fraction: float = 0.0,
    train_control_fraction: float = 0.5,
    seed: int = 0,
) -> None:
    """Split across contexts: what does a perturbation do in a line where nothing was tried?

    All perturbed cells of some combinations of covariates are test; their controls are shared out,
    so that a model may see in train what the line is like. Perturbations that train then sees
    nowhere are left unused.

    Parameters
    ----------
    adata
        Registered screen with covariates: of cells, or of effects (:func:`pertscope.tl.effects`).
    held_out
        Covariates to hold out, such as ``[{"cell_type": "k562"}]``. A mapping that leaves out a
        covariate stands for all its values.
    n_folds
        Without `held_out`: into how many folds the combinations of covariates are dealt at random;
        by default each is one, and is left out alone.
    fold
        Without `held_out`: the one that is test, counted from 0.
    val_fraction
        Share of the other conditions that go to val, of perturbations that train still sees.
        Networks on cells stop by them.
    train_control_fraction
        Share of controls in train, at least one; the rest goes to test, or half of it to val.
    seed
        Seed of the draw.

    Returns
    -------
    ``None``. Writes ``.obs[split_key]``, categorical with ``train``, ``val``, ``test``, missing
    where unused, and how it was made to ``.uns["pertscope"]["splits"]``. Prints a table of the
    parts.

    Raises
    ------
    KeyError
        If the screen is not registered, or a mapping names something that is no covariate.
    ValueError
        If the screen has no covariates, or no cells match a mapping; if there is no such fold, or
        folds go with `held_out`; or if nothing is left to train on.

    Warns
    -----
    UserWarning
        If val stays empty, since train applies no perturbation twice.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction (2025), the comparison
    across contexts.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=6, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.split_contexts(adata, fold=1)  # doctest: +ELLIPSIS
           conditions ...
    """
    screen = Screen.of(adata)
    conditions = screen_conditions(adata, screen)
    if not 0 <= val_fraction < 1:
        raise ValueError(f"`val_fraction`={val_fraction} must be at least 0 and below 1.")
    if held_out is not None:
        if n_folds is not None or fold != 0:
            raise ValueError("`held_out` says what is test: leave out `n_folds` and `fold`.")
        contexts = matching_contexts(conditions, held_out, "held_out")
    else:
        contexts = _fold(conditions, n_folds, fold, seed)
    perturbed = ~conditions.is_control
    tested = perturbed & np.isin(conditions.context, contexts)
    others = np.flatnonzero(perturbed & ~tested)
    if not len(others):
        raise ValueError(
            f"{listed('|'.join(conditions.contexts[i]) for i in contexts)} are all that the screen "
            "holds: nothing is left to train on."
        )
    drawn = np.random.default_rng([seed, 2]).permutation(others)
    parts = dict.fromkeys(spare_conditions(conditions, drawn, val_fraction), VAL)
    if val_fraction and not parts:
        warnings.warn(
            f"`val_fraction`={val_fraction}, but val stays empty: no condition can be spared, "
            "since train applies each perturbation once.",
            UserWarning,
            stacklevel=2,
        )
    trained = np.setdiff1d(others, list(parts))
    seen = {p for i in trained for p in conditions.components[i]}
    for i in np.flatnonzero(tested):
        parts[int(i)] = TEST if seen.issuperset(conditions.components[i]) else UNUSED
    write_split(
        adata,
        conditions,
        parts,
        train_control_fraction=train_control_fraction,
        seed=seed,
        how={
            "function": "split_contexts",
            "held_out": ["|".join(conditions.contexts[i]) for i in contexts],
            "val_fraction": val_fraction,
            "train_control_fraction": train_control_fraction,
        }
        | ({"n_folds": n_folds, "fold": fold} if held_out is None else {}),
        held_out=CONTEXTS,
    )


def _fold(conditions: Conditions, n_folds: int | None, fold: int, seed: int) -> np.ndarray:
    """Combinations of covariates of a fold."""
    if not conditions.screen.covariate_keys:
        raise ValueError("the screen has no covariates: register `covariate_keys` first.")
    there = np.unique(conditions.context[~conditions.is_control])
    n = len(there) if n_folds is None else n_folds
    if not 2 <= n <= len(there):
        raise ValueError(
            f"{n} fold(s) of {len(there)} combination(s) of covariates: there must be at least two "
            "folds, and no more than combinations."
        )
    if not 0 <= fold < n:
        raise ValueError(f"`fold`={fold} must lie between 0 and {n - 1}.")
    if n_folds is None:  # in their order: the fold says which one is left out
        return there[[fold]]
    return np.sort(np.random.default_rng(seed).permutation(there)[fold::n])
