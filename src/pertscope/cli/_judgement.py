"""Read files, judge, and keep account of everything that was assumed on the way."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import scipy.sparse as sp

from pertscope import ev, get, pp
from pertscope._core import keys
from pertscope._core.matrix import looks_like_counts, matrix_of
from pertscope._core.messages import listed
from pertscope._core.screen import Screen
from pertscope.cli._account import bounds, left_out, n_conditions
from pertscope.ev._score import EVERY

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData

ALL, NONE = "all", "none"
OF_DEVELOPERS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
"""Warnings that are about libraries and not about the screen."""

COLUMNS = ("perturbation_key", "control", "covariate_keys", "layer", "split_key")


@dataclass
class Judgement:
    """A judged screen, and what there is to say about it.

    Attributes
    ----------
    split
        Part that was judged; ``None`` for all conditions.
    files
        File of each prediction.
    assumed
        Sentences: what was taken for granted.
    warnings
        What the functions warned of.
    """

    adata: AnnData
    split: str | None
    screen_file: Path
    files: dict[str, Path]
    assumed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def table(self) -> pd.DataFrame:
        """One row per prediction, condition and metric."""
        return self.adata.uns["evaluation"]

    def n_judged(self, prediction: str | None = None) -> int:
        """Number of conditions that have scores, in all or of one prediction."""
        table = self.table
        if prediction is not None:
            table = table[table[keys.PREDICTION].astype(str) == prediction]
        place = [*Screen.of(self.adata).covariate_keys, keys.PERTURBATION]
        conditions = table[place].astype(str).drop_duplicates()
        return int((conditions[keys.PERTURBATION] != EVERY).sum())

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Predictions x (quantity, metric)."""
        return get.scores(self.adata)


def judge_files(arguments: argparse.Namespace) -> Judgement:
    """Do what the command line asks for; nothing is written.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    KeyError, TypeError, ValueError
        If a file does not hold what it should; the message names it.
    """
    files = _names(arguments.predictions, arguments.name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        adata = _read(arguments.screen)
        registered = _register(adata, arguments)
        assumed = [registered, _scale(adata)]
        split, why = _part(adata, arguments.split)
        found = Judgement(adata, split, arguments.screen, files, [*assumed, why])
        for name, path in files.items():
            found.assumed.append(_add(adata, name, path))
        ev.evaluate(
            adata,
            list(files),
            metrics=arguments.metrics or "default",
            floor=not arguments.no_floor,
            ceiling=not arguments.no_ceiling,
            compat=arguments.compat,
            control=arguments.against,
            seed=arguments.seed,
            split=split,
        )
    found.assumed += [*bounds(found, arguments), *left_out(found, arguments)]
    said = [w for w in caught if not issubclass(w.category, OF_DEVELOPERS)]
    found.warnings += dict.fromkeys(" ".join(str(w.message).split()) for w in said)
    return found


def _names(paths: Sequence[Path], names: Sequence[str] | None) -> dict[str, Path]:
    """File of each prediction, by the name that it was given or that of the file."""
    if names is not None and len(names) != len(paths):
        raise ValueError(f"--name gives {len(names)} name(s) for {len(paths)} prediction(s).")
    chosen = list(names) if names is not None else [path.stem for path in paths]
    twice = {name for name in chosen if chosen.count(name) > 1}
    if twice:
        raise ValueError(
            f"prediction(s) called {listed(sorted(twice))} twice: tell them by --name."
        )
    return dict(zip(chosen, paths, strict=True))


def _read(path: Path) -> AnnData:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    try:
        return ad.read_h5ad(path)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no .h5ad file that can be read ({error}).") from error


def _register(adata: AnnData, arguments: argparse.Namespace) -> str:
    """Register by the arguments, else as the file was; say which column means what."""
    known = keys.SCREEN in adata.uns.get(keys.UNS, {})
    wanted: dict[str, Any] = asdict(Screen.of(adata)) if known else {}
    wanted.pop("schema_version", None)
    adata.uns.pop(keys.UNS, None)  # predictions and scores of earlier runs are not judged
    wanted |= {k: v for k in COLUMNS if (v := getattr(arguments, k)) is not None}
    if arguments.combination_separator is not None:
        separator = arguments.combination_separator
        wanted["combination_separator"] = None if separator.lower() == NONE else separator
    try:
        pp.register(adata, **wanted)
    except (KeyError, TypeError, ValueError) as error:
        raise type(error)(f"{arguments.screen}: {error.args[0]}") from error
    screen = Screen.of(adata)
    covariates = f"covariates {listed(screen.covariate_keys)}" if screen.covariate_keys else ""
    separator = screen.combination_separator
    joined = f"combinations are joined by {separator!r}" if separator else "no combinations"
    return (
        f"Columns{' as registered in the file' if known else ''}: perturbation "
        f"{screen.perturbation_key!r}, control {screen.control!r}, "
        f"{covariates or 'no covariates, so all cells are one context'}; {joined}."
    )


def _scale(adata: AnnData) -> str:
    """Normalise counts; say on which scale the values are."""
    layer = Screen.of(adata).layer
    x = matrix_of(adata, layer)
    where = "X" if layer is None else f"layer {layer!r}"
    if looks_like_counts(x):
        pp.normalize(adata, counts_layer=None)
        return (
            f"{where} held counts: they were normalised to 10,000 per cell (over the genes in the "
            "file) and log1p was taken. Predictions must be on that scale."
        )
    values = x.data if sp.issparse(x) else np.asarray(x)
    low, high = values.min(initial=0), values.max(initial=0)
    if low < 0:
        return f"{where} holds negative values ({low:.4g} to {high:.4g}): taken as profiles, as is."
    return f"{where} was taken as log-normalised (no integers; highest value {high:.4g})."


def _part(adata: AnnData, split: str | None) -> tuple[str | None, str]:
    """Which part is judged, and why."""
    column = Screen.of(adata).split_key
    if split is None and column not in adata.obs:
        return None, (
            f"There is no column {column!r}: all predicted conditions were judged, whether or not "
            "the models were trained on them."
        )
    if split == ALL:
        return None, "All predicted conditions were judged, also those in train."
    return split or keys.TEST, f"Judged: conditions with {(split or keys.TEST)!r} in {column!r}."


def _add(adata: AnnData, name: str, path: Path) -> str:
    """Add one prediction; say what it is."""
    prediction = _read(path)
    try:
        pp.add_prediction(adata, prediction, name)
    except (KeyError, TypeError, ValueError) as error:
        raise type(error)(f"{path}: {error.args[0]}") from error
    kept = get.prediction(adata, name)
    rows = kept.obs.drop_duplicates()
    what = "one row each, its mean" if len(rows) == kept.n_obs else f"{kept.n_obs:,} cells"
    return f"Prediction {name!r} ({path.name}): {n_conditions(len(rows))}, {what}."
