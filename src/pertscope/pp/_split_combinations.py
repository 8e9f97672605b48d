"""Hold out combinations whose single perturbations are seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.conditions import screen_conditions
from pertscope._core.screen import Screen
from pertscope._core.splits import check_fraction, halves, write_split

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope._core.conditions import Conditions


def split_combinations(
    adata: AnnData,
    *,
    fraction: float = 0.7,
    seen: str = "singles",
    train_control_fraction: float = 0.5,
    seed: int = 0,
) -> None:
    """Split for combinations: what do two known perturbations do together?

    Holds out a share of the combinations that can be held out; everything else is in train.
    Held-out conditions go to val and test, half and half.

    Parameters
    ----------
    adata
        Registered screen with combinations.
    fraction
        Share of combinations that is held out: of the eligible ones in each set of covariates, or,
        with ``seen="parts"``, of all, as far as they are eligible.
    seen
        ``"singles"``: a combination is eligible if each of its parts was measured alone in the same
        covariates. ``"parts"``: it is enough that each part stays in train in any condition.
    train_control_fraction
        Share of controls in train; val and test halve the rest.
    seed
        Seed of the draw.

    Returns
    -------
    ``None``. Writes ``.obs[split_key]``, categorical with ``train``, ``val``, ``test``, and how it
    was made to ``.uns["pertscope"]["splits"]``. Prints a table of the parts.

    Raises
    ------
    ValueError
        If fewer than two combinations can be held out.

    References
    ----------
    Wu et al., PerturBench (2024), appendices A.3 and D.4.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=6, n_combinations=6, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.split_combinations(adata, seed=0)  # doctest: +ELLIPSIS
           conditions ...
    """
    screen = Screen.of(adata)
    check_fraction(fraction, "fraction")
    if seen not in ("singles", "parts"):
        raise ValueError(f"`seen`={seen!r} must be 'singles' or 'parts'.")
    conditions = screen_conditions(adata, screen)
    rng = np.random.default_rng(seed)
    draw = _with_singles if seen == "singles" else _with_parts
    held_out = draw(conditions, fraction, rng)
    if len(held_out) < 2:
        n = int(conditions.is_combination.sum())
        raise ValueError(
            f"{len(held_out)} of {n} combination(s) can be held out, val and test need one each: a "
            "combination is eligible only if its single perturbations are in the screen "
            f"(separator {screen.combination_separator!r}); `seen='parts'` asks for less."
        )
    write_split(
        adata,
        conditions,
        halves(held_out, conditions.context, rng),
        train_control_fraction=train_control_fraction,
        seed=seed,
        how={
            "function": "split_combinations",
            "fraction": fraction,
            "seen": seen,
            "train_control_fraction": train_control_fraction,
        },
    )


def _with_singles(conditions: Conditions, fraction: float, rng: np.random.Generator) -> np.ndarray:
    singles = {
        (conditions.context[i], *parts)
        for i, parts in enumerate(conditions.components)
        if len(parts) == 1
    }
    eligible = np.array(
        [
            i
            for i in np.flatnonzero(conditions.is_combination)
            if all((conditions.context[i], p) in singles for p in conditions.components[i])
        ],
        dtype=np.int64,
    )
    held_out = [
        rng.permutation(group)[: max(1, round(fraction * len(group)))]
        for context in np.unique(conditions.context[eligible])
        for group in [eligible[conditions.context[eligible] == context]]
    ]
    return np.concatenate(held_out) if held_out else eligible


def _with_parts(conditions: Conditions, fraction: float, rng: np.random.Generator) -> np.ndarray:
    uses: dict[str, int] = {}
    for parts in conditions.components:
        for p in parts:
            uses[p] = uses.get(p, 0) + 1
    combinations = rng.permutation(np.flatnonzero(conditions.is_combination))
    held_out: list[int] = []
    for i in combinations:
        if len(held_out) >= round(fraction * len(combinations)):
            break
        parts = conditions.components[i]
        if all(uses[p] > 1 for p in parts):
            held_out.append(int(i))
            for p in parts:
                uses[p] -= 1
    return np.array(held_out, dtype=np.int64)
