"""Split a screen by batches, for judging representations."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pertscope._core import keys
from pertscope._core.batch_splits import sides_column, split_by_batches
from pertscope._core.conditions import label_column
from pertscope._core.representation import require_batches
from pertscope._core.screen import Screen, require_actual

if TYPE_CHECKING:
    from anndata import AnnData


def split_batches(
    adata: AnnData,
    *,
    train_fraction: float = 0.7,
    held_out_fraction: float = 0.0,
    seed: int = 0,
    key_added: str = "batch_split",
) -> None:
    """Split cells into train and test of disjoint batches, with the same or other perturbations.

    With ``held_out_fraction=0`` both sides have the same perturbations; cells of the others are in
    neither. Otherwise that share of the perturbations is drawn: test has only these, train only
    the others. Controls are on both sides.

    This split is for :func:`~pertscope.ev.linear_probe`, :func:`~pertscope.ev.knn_accuracy` and
    :func:`~pertscope.ev.reconstruction`. It has no ``val`` and lies apart from the split of
    conditions that models are trained by.

    Parameters
    ----------
    adata
        Registered screen with a ``batch_key``.
    train_fraction
        Share of the cells that the batches of train hold, as nearly as whole batches can.
    held_out_fraction
        Share of the perturbations that only test has.
    seed
        Seed of the draw.
    key_added
        Column that is written.

    Returns
    -------
    ``None``. Writes ``.obs[key_added]``, categorical with ``train`` and ``test``, missing where in
    neither, and how it was made to ``.uns["pertscope"]["splits"]``. Prints a table of the sides.

    Raises
    ------
    KeyError
        If the screen is not registered.
    ValueError
        If it has no batches or only one, a side has no perturbation left, or `key_added` is a
        column that the screen is registered by.

    References
    ----------
    Bendidi et al., Benchmarking transcriptomics foundation models for perturbation analysis
    (2024), section 4.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=6, n_genes=50, n_batches=4, seed=0)
    >>> ps.pp.register(adata, batch_key="batch")
    >>> ps.pp.split_batches(adata, seed=0)  # doctest: +ELLIPSIS
                 batches  perturbations ...
    >>> sorted(adata.obs["batch_split"].unique())
    ['test', 'train']
    """
    screen = Screen.of(adata)
    keys.check_key(key_added)
    if key_added in (*screen.condition_keys, screen.batch_key, screen.dose_key):
        raise ValueError(
            f"`key_added`={key_added!r} would overwrite a column that the screen is registered by: "
            "give another name."
        )
    batch = label_column(adata.obs, require_batches(screen))
    labels = label_column(adata.obs, screen.perturbation_key)
    control = np.flatnonzero(labels.categories == screen.control)
    sides = split_by_batches(
        batch.codes.astype(np.int64),
        labels.codes.astype(np.int64),
        int(control[0]) if len(control) else -1,
        train_fraction=train_fraction,
        held_out_fraction=held_out_fraction,
        seed=seed,
    )
    require_actual(adata)
    adata.obs[key_added] = sides_column(*sides)
    how = {
        "function": "split_batches",
        "train_fraction": train_fraction,
        "held_out_fraction": held_out_fraction,
        "seed": seed,
    }
    adata.uns.setdefault(keys.UNS, {}).setdefault(keys.SPLITS, {})[key_added] = json.dumps(how)
    perturbed = labels != screen.control
    rows = {
        name: {
            "batches": len(np.unique(batch.codes[side])),
            "perturbations": len(np.unique(labels.codes[side & perturbed])),
            "cells": int((side & perturbed).sum()),
            "controls": int((side & ~perturbed).sum()),
        }
        for name, side in zip((keys.TRAIN, keys.TEST), sides, strict=True)
    }
    print(pd.DataFrame.from_dict(rows, orient="index").rename_axis(key_added).to_string())
