"""Hold out a share of the perturbations of named covariates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.conditions import screen_conditions
from pertscope._core.messages import listed, nearest
from pertscope._core.screen import Screen
from pertscope._core.splits import UNUSED, check_fraction, halves, write_split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData

    from pertscope._core.conditions import Conditions


def split_custom(
    adata: AnnData,
    held_out: Sequence[Mapping[str, str]],
    *,
    fraction: float = 0.7,
    train_on: Sequence[Mapping[str, str]] | None = None,
    min_cells: int = 1,
    train_control_fraction: float = 0.5,
    seed: int = 0,
) -> None:
    """Split by hand: hold out a share of the perturbations of the covariates you name.

    Parameters
    ----------
    adata
        Registered screen.
    held_out
        Covariates to hold out from, such as ``[{"cell_type": "k562", "treatment": "IFNG"}]``. A
        mapping that leaves out a covariate stands for all its values.
    fraction
        Share of their perturbations that is held out; a perturbation that train would not see
        anywhere else stays in train.
    train_on
        Covariates that train may see besides `held_out`, in the same form; the cells of all others
        are left unused. The draw does not depend on it, so that splits of growing size
        share their held-out conditions wherever the smallest can learn them. ``None`` is all.
    min_cells
        Held-out conditions with fewer cells are left unused.
    train_control_fraction
        Share of controls in train; val and test halve the rest.
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
        If a mapping names something that is no covariate.
    ValueError
        If no cells match a mapping, or fewer than two conditions can be held out.

    References
    ----------
    Wu et al., PerturBench (2024), appendix D.4.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=10, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> cell_type = adata.obs["cell_type"].iloc[0]
    >>> ps.pp.split_custom(adata, [{"cell_type": cell_type}], seed=0)  # doctest: +ELLIPSIS
           conditions ...
    """
    screen = Screen.of(adata)
    check_fraction(fraction, "fraction")
    conditions = screen_conditions(adata, screen)
    held_contexts = matching_contexts(conditions, held_out, "held_out")
    used = np.arange(len(conditions.contexts))
    if train_on is not None:
        used = np.union1d(held_contexts, matching_contexts(conditions, train_on, "train_on"))
    rng = np.random.default_rng(seed)
    perturbed = ~conditions.is_control
    chosen: set[int] = set()
    for context in held_contexts:
        there = rng.permutation(np.flatnonzero(perturbed & (conditions.context == context)))
        chosen.update(int(i) for i in there[: round(fraction * len(there))])
    in_train = perturbed & np.isin(conditions.context, used)
    in_train[list(chosen)] = False
    seen = {p for i in np.flatnonzero(in_train) for p in conditions.components[i]}
    eligible = np.array(
        sorted(i for i in chosen if seen.issuperset(conditions.components[i])), dtype=np.int64
    )
    small = eligible[conditions.n_cells[eligible] < min_cells]
    kept = np.setdiff1d(eligible, small)
    if len(kept) < 2:
        raise ValueError(
            f"{len(kept)} condition(s) can be held out, val and test need one each: perturbations "
            "must also be seen outside the held-out conditions and have `min_cells` cells "
            f"({len(chosen) - len(eligible)} are seen nowhere else, {len(small)} are too small)."
        )
    # drawn for all that were chosen, so that what train can learn does not move the others
    drawn = halves(np.array(sorted(chosen)), conditions.context, rng)
    parts = {int(i): drawn[int(i)] for i in kept}
    if len(set(parts.values())) < 2:
        parts = halves(kept, conditions.context, rng)
    unused = np.flatnonzero(~np.isin(conditions.context, used))
    parts |= {int(i): UNUSED for i in (*small, *unused)}
    write_split(
        adata,
        conditions,
        parts,
        train_control_fraction=train_control_fraction,
        seed=seed,
        how={
            "function": "split_custom",
            "held_out": [dict(m) for m in held_out],
            "train_on": None if train_on is None else [dict(m) for m in train_on],
            "fraction": fraction,
            "min_cells": min_cells,
            "train_control_fraction": train_control_fraction,
        },
    )


def matching_contexts(
    conditions: Conditions, wanted: Sequence[Mapping[str, str]], what: str
) -> np.ndarray:
    """Combinations of covariates that match any of the mappings."""
    keys = list(conditions.screen.covariate_keys)
    if not keys:
        raise ValueError("the screen has no covariates: register `covariate_keys` first.")
    found: set[int] = set()
    for mapping in wanted:
        unknown = [k for k in mapping if k not in keys]
        if unknown:
            raise KeyError(
                f"`{what}`: {unknown[0]!r} is no covariate; {nearest(unknown[0], keys)}."
            )
        want = {keys.index(k): str(v) for k, v in mapping.items()}
        match = [
            i for i, c in enumerate(conditions.contexts) if all(c[j] == v for j, v in want.items())
        ]
        if not match:
            raise ValueError(
                f"`{what}`: no cells with {dict(mapping)}; the screen has "
                f"{listed('|'.join(c) for c in conditions.contexts)}."
            )
        found.update(match)
    return np.array(sorted(found), dtype=np.int64)
