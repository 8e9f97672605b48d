"""Sides of disjoint batches: what is learnt in some is judged in others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pertscope._core import keys
from pertscope._core.messages import listed, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

    from pertscope._core.representation import Represented


def split_by_batches(
    batch: np.ndarray,
    perturbation: np.ndarray,
    control: int,
    *,
    train_fraction: float,
    held_out_fraction: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw batches for train; all others are for test.

    Parameters
    ----------
    batch, perturbation
        Codes of each cell, int64 ``(cells,)``.
    control
        Code of the control.
    train_fraction
        Share of the cells that the batches of train hold, as nearly as whole batches can.
    held_out_fraction
        0: both sides have the same perturbations. Otherwise the share of the perturbations that
        only test has, and that train is judged by.
    seed
        Seed of the draw.

    Returns
    -------
    Whether a cell is in train, and whether it is in test, bool ``(cells,)``. Cells of
    perturbations that are not where they should be are in neither.

    Raises
    ------
    ValueError
        If there is one batch, or a side has no perturbation left.
    """
    for value, name, low in (
        (train_fraction, "train_fraction", "above 0"),
        (held_out_fraction, "held_out_fraction", "at least 0"),
    ):
        if not 0 <= value < 1 or (value == 0 and name == "train_fraction"):
            raise ValueError(f"`{name}`={value} must be {low} and below 1.")
    size = np.bincount(batch)
    present = np.flatnonzero(size)
    if len(present) < 2:
        raise ValueError("the screen has one batch: disjoint batches need at least two.")
    rng = np.random.default_rng(seed)
    order = rng.permutation(present)
    reached = np.cumsum(size[order])[:-1] / size.sum()
    train_batches = order[: int(np.abs(reached - train_fraction).argmin()) + 1]
    train = np.isin(batch, train_batches)
    of_control = perturbation == control
    in_train, in_test = (np.unique(perturbation[s & ~of_control]) for s in (train, ~train))
    if held_out_fraction:
        every = rng.permutation(np.union1d(in_train, in_test))
        held_out = every[: max(1, round(held_out_fraction * len(every)))]
        in_train, in_test = np.setdiff1d(in_train, held_out), np.intersect1d(in_test, held_out)
    else:
        in_train = in_test = np.intersect1d(in_train, in_test)
    if not (len(in_train) and len(in_test)):
        raise ValueError(
            f"{len(train_batches)} of {len(present)} batches are for train, and no perturbation "
            "is left in train or in test: perturbations must occur in several batches. "
            "Another `seed` or `train_fraction` draws other batches."
        )
    return (
        train & (of_control | np.isin(perturbation, in_train)),
        ~train & (of_control | np.isin(perturbation, in_test)),
    )


def sides_of(adata: AnnData, split_key: str) -> tuple[np.ndarray, np.ndarray]:
    """Whether a cell is in train, and in test, as ``.obs[split_key]`` says, bool ``(cells,)``."""
    if split_key not in adata.obs.columns:
        raise KeyError(
            f"`.obs` has no split {split_key!r}; {nearest(split_key, adata.obs.columns)}: make one "
            "with `ps.pp.split_batches`."
        )
    column = adata.obs[split_key].astype(object)
    values = column.where(column.notna(), "").to_numpy(dtype=object)
    unknown = set(values) - {*keys.PARTS, ""}
    if unknown:
        raise ValueError(
            f"`.obs[{split_key!r}]` holds {listed(sorted(unknown))}; a split holds "
            f"{listed(keys.PARTS)}."
        )
    return values == keys.TRAIN, values == keys.TEST


def drawn_sides(
    adata: AnnData,
    cells: Represented,
    *,
    split_key: str | None,
    train_fraction: float,
    held_out_fraction: float,
    seeds: range,
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """``(seed, train rows, test rows)`` for each seed: a new draw of batches, or the split given.

    Raises
    ------
    ValueError
        If there are no seeds, batches are on both sides, or a side is empty.
    """
    if not len(seeds):
        raise ValueError("`n_seeds` must be at least 1.")
    for seed in seeds:
        if split_key is None:
            train, test = split_by_batches(
                cells.batch,
                cells.perturbation,
                cells.control,
                train_fraction=train_fraction,
                held_out_fraction=held_out_fraction,
                seed=seed,
            )
        else:
            train, test = sides_of(adata, split_key)
            _check_sides(cells, train, test, split_key)
        yield seed, np.flatnonzero(train), np.flatnonzero(test)


def with_same_labels(
    cells: Represented, train: np.ndarray, test: np.ndarray, *, drop_controls: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of both sides whose perturbation is on both, and the codes of these perturbations.

    Raises
    ------
    ValueError
        If fewer than two perturbations are on both sides.
    """
    labels = np.intersect1d(cells.perturbation[train], cells.perturbation[test])
    if drop_controls:
        labels = labels[labels != cells.control]
    if len(labels) < 2:
        raise ValueError(
            f"{len(labels)} perturbation(s) occur in train and in test: to tell perturbations "
            "apart takes two that occur in several batches."
        )
    train, test = (side[np.isin(cells.perturbation[side], labels)] for side in (train, test))
    return train, test, labels


def _check_sides(cells: Represented, train: np.ndarray, test: np.ndarray, split_key: str) -> None:
    for side, name in ((train, keys.TRAIN), (test, keys.TEST)):
        if not (side & ~cells.is_control).any():
            raise ValueError(f"`.obs[{split_key!r}]` has no perturbed cell in {name!r}.")
    both = np.intersect1d(cells.batch[train], cells.batch[test])
    if len(both):
        raise ValueError(
            f"`.obs[{split_key!r}]` has {len(both)} batch(es) in train and in test: "
            f"{listed(cells.batches[both])}. Make a split with `ps.pp.split_batches`."
        )


def sides_column(train: np.ndarray, test: np.ndarray) -> pd.Categorical:
    """The two sides as a column of ``.obs``: ``train``, ``test``, missing where neither."""
    codes = np.where(train, 0, np.where(test, 1, -1))
    return pd.Categorical.from_codes(codes, categories=[keys.TRAIN, keys.TEST])
