"""Hold out single perturbations that are seen in a combination."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.conditions import screen_conditions
from pertscope._core.screen import Screen
from pertscope._core.splits import check_fraction, halves, write_split

if TYPE_CHECKING:
    from anndata import AnnData


def split_inverse_combinations(
    adata: AnnData,
    *,
    fraction: float = 0.3,
    train_control_fraction: float = 0.5,
    seed: int = 0,
) -> None:
    """Split for inverse combinations: what does A do, when B and A+B are known?

    A single perturbation is eligible if some double ``A+B`` was measured in the same covariates and
    B alone stays in train. All combinations stay in train.

    Parameters
    ----------
    adata
        Registered screen with combinations of two.
    fraction
        Share of the single perturbations to hold out; fewer where eligibility runs out.
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
        If fewer than two single perturbations can be held out.

    References
    ----------
    Wu et al., PerturBench (2024), appendix A.3.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=6, n_combinations=6, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.split_inverse_combinations(adata, seed=0)  # doctest: +ELLIPSIS
           conditions ...
    """
    screen = Screen.of(adata)
    check_fraction(fraction, "fraction")
    conditions = screen_conditions(adata, screen)
    rng = np.random.default_rng(seed)
    single = {
        (conditions.context[i], *parts): i
        for i, parts in enumerate(conditions.components)
        if len(parts) == 1
    }
    partners: dict[int, set[int]] = {i: set() for i in single.values()}
    for i in np.flatnonzero(conditions.is_combination):
        alone = [single.get((conditions.context[i], p)) for p in conditions.components[i]]
        if len(alone) == 2 and alone[0] is not None and alone[1] is not None:
            partners[alone[0]].add(alone[1])
            partners[alone[1]].add(alone[0])
    held_out: set[int] = set()
    for i in rng.permutation(sorted(partners)):
        if len(held_out) >= round(fraction * len(partners)):
            break
        tried = held_out | {int(i)}
        if all(partners[h] - tried for h in tried):
            held_out = tried
    if len(held_out) < 2:
        raise ValueError(
            f"{len(held_out)} single perturbation(s) can be held out, val and test need one each: "
            "a single is eligible only if the screen has it, a partner, and both together "
            f"(separator {screen.combination_separator!r})."
        )
    write_split(
        adata,
        conditions,
        halves(np.array(sorted(held_out)), conditions.context, rng),
        train_control_fraction=train_control_fraction,
        seed=seed,
        how={
            "function": "split_inverse_combinations",
            "fraction": fraction,
            "train_control_fraction": train_control_fraction,
        },
    )
