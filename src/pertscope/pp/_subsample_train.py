"""Train on less: nested parts of the train part of a split."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from pertscope._core import keys
from pertscope._core.conditions import screen_conditions
from pertscope._core.screen import Screen
from pertscope._core.splits import CONDITIONS, HOLDS_OUT, UNUSED, split_of, write_cells

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope._core.conditions import Conditions

OF = ("conditions", "cells")
RECORDED = "subsample_train"


def subsample_train(
    adata: AnnData, fraction: float, *, of: str = "conditions", seed: int = 0
) -> None:
    """Leave a share of the train part of a split unused; val and test stay as they are.

    Parts of one seed are nested: what is kept at a fraction is kept at every larger one. Controls
    stay whole.

    Parameters
    ----------
    adata
        Registered, split screen.
    fraction
        Share of the training conditions, or of the cells of each, that is kept.
    of
        ``"conditions"``: conditions are left out whole. Those through which train sees each
        perturbation and covariate value of val and test come first, so that all can be
        predicted. ``"cells"``: every training condition keeps a share of its cells, at least one.
    seed
        Seed of the draw.

    Returns
    -------
    ``None``. Sets ``.obs[split_key]`` to missing where train leaves cells out, and notes how in
    ``.uns["pertscope"]["splits"]``. Prints a table of the parts.

    Raises
    ------
    KeyError
        If the screen is not split.
    ValueError
        If `fraction` lies outside 0 to 1, or is too small for all of val and test to be predicted;
        or if train is a part already: fractions are of the whole train, so split again first.

    References
    ----------
    Wu et al., PerturBench (2024), section 5.3: nested training sets under one val and test.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=12, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> ps.pp.subsample_train(adata, 0.5, of="cells")  # doctest: +ELLIPSIS
           conditions ...
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"`fraction`={fraction} must lie above 0, and be 1 at most.")
    if of not in OF:
        raise ValueError(f"`of`={of!r} must be one of {OF}.")
    screen = Screen.of(adata)
    conditions = screen_conditions(adata, screen)
    cells = split_of(adata, conditions)
    splits = adata.uns.get(keys.UNS, {}).get(keys.SPLITS, {})
    record = json.loads(splits.get(screen.split_key, "{}"))
    if RECORDED in record:
        raise ValueError(
            f"train of `.obs[{screen.split_key!r}]` is a part already ({record[RECORDED]}): split "
            "the screen again before another part is taken."
        )
    train = np.flatnonzero((cells == keys.TRAIN) & ~conditions.is_control[conditions.codes])
    rng = np.random.default_rng(seed)
    codes = conditions.codes[train]
    if of == "cells":
        kept = _some_of_each(codes, fraction, rng)
    else:
        held = np.unique(conditions.codes[np.isin(cells, (keys.VAL, keys.TEST))])
        kept = np.isin(codes, _some(conditions, np.unique(codes), held, fraction, rng))
    cells[train[~kept]] = UNUSED
    how = {"fraction": fraction, "of": of, "seed": seed}
    held_out = record.get(HOLDS_OUT, CONDITIONS)
    write_cells(adata, conditions, cells, record | {RECORDED: how}, held_out=held_out)


def _some_of_each(codes: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Which cells are among the first share of their condition, in a random order; bool."""
    order = rng.permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    counts = np.bincount(codes)
    starts = np.cumsum(counts) - counts
    place = np.arange(len(codes)) - starts[codes[order]]
    kept = np.empty(len(codes), dtype=bool)
    kept[order] = place < np.maximum(1, np.round(fraction * counts))[codes[order]]
    return kept


def _some(
    conditions: Conditions,
    trained: np.ndarray,
    held: np.ndarray,
    fraction: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Training conditions that are kept: first those that val and test cannot do without."""
    order = rng.permutation(trained)
    parts = _parts(conditions)
    missing = set().union(*(parts[i] for i in held[~conditions.is_control[held]]))
    needed = []
    for i in order:
        if missing & parts[i]:
            needed.append(i)
            missing -= parts[i]
    n = round(fraction * len(trained))
    if n < len(needed):
        raise ValueError(
            f"`fraction`={fraction} keeps {n} of {len(trained)} training conditions, but "
            f"{len(needed)} are needed for train to see every perturbation and covariate value "
            f"of val and test: keep {len(needed) / len(trained):.3f} or more."
        )
    return np.concatenate([needed, order[~np.isin(order, needed)]])[:n].astype(np.int64)


def _parts(conditions: Conditions) -> list[set[tuple[str, str]]]:
    """Perturbations and covariate values of each condition."""
    covariates = conditions.screen.covariate_keys
    return [
        {("", p) for p in components} | set(zip(covariates, context, strict=True))
        for components, context in zip(
            conditions.components,
            conditions.table[list(covariates)].itertuples(index=False, name=None),
            strict=True,
        )
    ]
