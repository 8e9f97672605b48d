"""Hold out perturbations everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope._core.conditions import screen_conditions
from pertscope._core.screen import Screen
from pertscope._core.splits import PERTURBATIONS, write_split
from pertscope._core.unseen import perturbation_folds, unseen_parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData


def split_unseen(
    adata: AnnData,
    *,
    n_folds: int = 5,
    fold: int = 0,
    val_fraction: float = 0.0,
    alias: Mapping[str, str] | None = None,
    train_control_fraction: float = 0.5,
    seed: int = 0,
) -> None:
    """Split for unseen perturbations: what does a gene or compound do that was never tried?

    Perturbations are dealt into folds at random, the same ones in every combination of covariates;
    one fold is test. Combinations that apply a held-out perturbation are held out with it. To
    predict them, a model needs to know something of perturbations: an embedding
    (:func:`pertscope.pp.add_perturbation_embedding`).

    Parameters
    ----------
    adata
        Registered screen: of cells, or of effects (:func:`pertscope.tl.effects`).
    n_folds
        Number of folds.
    fold
        The one that is test, counted from 0. With the same seed the folds are those of
        ``tl.cross_validate``.
    val_fraction
        Share of the other perturbations that go to val, held out likewise; networks stop by them.
    alias
        Name in the screen -> other name of the same perturbation, such as its Ensembl id. Two
        labels of one perturbation, by `alias` or but for capitals and spaces, are refused: they
        would be a leak.
    train_control_fraction
        Share of controls in train, at least one; the rest goes to test, or half of it to val.
    seed
        Seed of the draw.

    Returns
    -------
    ``None``. Writes ``.obs[split_key]``, categorical with ``train``, ``val``, ``test``, and how it
    was made to ``.uns["pertscope"]["splits"]``. Prints a table of the parts.

    Raises
    ------
    KeyError
        If the screen is not registered.
    ValueError
        If there are fewer perturbations than folds, no such fold, two labels for one perturbation,
        or nothing is left to train on.

    References
    ----------
    Cole et al., Foundation Models Improve Perturbation Response Prediction.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=10, n_genes=50, seed=0)
    >>> ps.pp.register(adata, covariate_keys=["cell_type"])
    >>> ps.pp.split_unseen(adata, fold=1)  # doctest: +ELLIPSIS
           conditions ...
    """
    screen = Screen.of(adata)
    conditions = screen_conditions(adata, screen)
    folds = perturbation_folds(conditions, n_folds, alias=alias, seed=seed)
    if not 0 <= fold < n_folds:
        raise ValueError(f"`fold`={fold} must lie between 0 and {n_folds - 1}.")
    if not 0 <= val_fraction < 1:
        raise ValueError(f"`val_fraction`={val_fraction} must be at least 0 and below 1.")
    parts = unseen_parts(conditions, folds, fold, val_fraction=val_fraction, seed=seed)
    write_split(
        adata,
        conditions,
        parts,
        train_control_fraction=train_control_fraction,
        seed=seed,
        how={
            "function": "split_unseen",
            "n_folds": n_folds,
            "fold": fold,
            "val_fraction": val_fraction,
            "train_control_fraction": train_control_fraction,
        },
        held_out=PERTURBATIONS,
    )
