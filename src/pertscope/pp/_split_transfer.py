"""Hold out perturbations in some covariates that are seen in others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.conditions import screen_conditions
from pertscope._core.screen import Screen
from pertscope._core.splits import check_fraction, halves, write_split

if TYPE_CHECKING:
    from anndata import AnnData


def split_transfer(
    adata: AnnData,
    *,
    max_held_out: int | None = None,
    max_fraction: float = 0.3,
    train_control_fraction: float = 0.5,
    seed: int = 0,
) -> None:
    """Split for covariate transfer: what does a known perturbation do in another cell type?

    Each perturbation is held out of 1 to `max_held_out` combinations of covariates, drawn at
    random, and stays in train in at least one other. No combination of covariates loses more than
    `max_fraction` of its perturbations. Held-out conditions go to val and test, half and half.

    Parameters
    ----------
    adata
        Registered screen with at least two combinations of covariates.
    max_held_out
        Most combinations of covariates that a perturbation is held out of; by default all but one.
    max_fraction
        Largest share of a combination's perturbations that is held out.
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
        If the screen has one combination of covariates, or if nothing can be held out.

    References
    ----------
    Wu et al., PerturBench (2024), appendices A.3 and D.4.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=10, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.split_transfer(adata, seed=0)  # doctest: +ELLIPSIS
           conditions ...
    """
    screen = Screen.of(adata)
    conditions = screen_conditions(adata, screen)
    n_contexts = len(conditions.contexts)
    if n_contexts < 2:
        raise ValueError(
            "covariate transfer needs at least two combinations of covariates, the screen has one: "
            "register `covariate_keys`."
        )
    check_fraction(max_fraction, "max_fraction")
    max_held_out = n_contexts - 1 if max_held_out is None else max_held_out
    if not 1 <= max_held_out < n_contexts:
        raise ValueError(f"`max_held_out`={max_held_out} must lie between 1 and {n_contexts - 1}.")
    rng = np.random.default_rng(seed)
    perturbed = np.flatnonzero(~conditions.is_control)
    room = np.floor(
        max_fraction * np.bincount(conditions.context[perturbed], minlength=n_contexts) + 1e-9
    )
    held_out: list[int] = []
    for label in rng.permutation(np.unique(conditions.labels[perturbed])):
        places = np.flatnonzero(conditions.labels == label)
        n = min(int(rng.integers(1, max_held_out + 1)), len(places) - 1)
        free = rng.permutation(places[room[conditions.context[places]] >= 1])[:n]
        room[conditions.context[free]] -= 1
        held_out.extend(free)
    if len(held_out) < 2:
        raise ValueError(
            f"only {len(held_out)} condition(s) can be held out, val and test need one each: raise "
            f"`max_fraction` ({max_fraction}), or check that perturbations occur in several of "
            f"{list(screen.covariate_keys)}."
        )
    write_split(
        adata,
        conditions,
        halves(np.array(held_out), conditions.context, rng),
        train_control_fraction=train_control_fraction,
        seed=seed,
        how={
            "function": "split_transfer",
            "max_held_out": max_held_out,
            "max_fraction": max_fraction,
            "train_control_fraction": train_control_fraction,
        },
    )
