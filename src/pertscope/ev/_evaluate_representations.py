"""Which representation carries perturbations, and which batches? All levels at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pertscope._core import keys
from pertscope._core.messages import listed, nearest
from pertscope._core.representation import representation_of, require_batches
from pertscope._core.screen import Screen, require_actual
from pertscope.ev._consistency import consistency
from pertscope.ev._integration import integration
from pertscope.ev._knn_accuracy import knn_accuracy
from pertscope.ev._linear_probe import linear_probe
from pertscope.ev._reconstruction import reconstruction
from pertscope.ev._relationship_recall import relationship_recall

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from anndata import AnnData

    from pertscope.ev._relationship_recall import Database

RAW = "raw"
POSTPROCESS = (RAW, "center", "center_scale", "tvn", "sphere", "harmony", "combat", "scanorama")
RANDOM_LABELS = "random_labels"
LEVELS: dict[int, tuple[Callable[..., None], tuple[str, ...]]] = {
    1: (integration, ("ilisi",)),
    2: (linear_probe, ("top5_accuracy", "top1_accuracy")),
    3: (consistency, ("consistency",)),
    4: (knn_accuracy, ("top5_accuracy", "top1_accuracy")),
    5: (relationship_recall, ()),
    6: (reconstruction, ("spearman", "structural_integrity")),
}
SEEDED = (linear_probe, knn_accuracy, reconstruction)
SCRATCH = "X_judged"
INDEX = ("level", "function", keys.METRIC)


def evaluate_representations(
    adata: AnnData,
    use_rep: Sequence[str],
    *,
    postprocess: Sequence[str] = (RAW, "center", "center_scale", "tvn"),
    levels: Sequence[int] = tuple(LEVELS),
    databases: Sequence[Database] = (),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    n_seeds: int = 5,
    seed: int = 0,
    key_added: str = "evaluate_representations",
) -> None:
    """Judge representations on six levels, as they are and after each post-processing.

    1 batches: ``ilisi`` of :func:`~pertscope.ev.integration`. 2 linear separability:
    :func:`~pertscope.ev.linear_probe`. 3 :func:`~pertscope.ev.consistency`, the share of
    perturbations with ``p < 0.05``. 4 :func:`~pertscope.ev.knn_accuracy`. 5
    :func:`~pertscope.ev.relationship_recall` by database. 6
    :func:`~pertscope.ev.reconstruction`. Higher is better everywhere.

    The representation ``random_labels`` is added: the first one's vectors given to cells at random
    (:func:`~pertscope.pp.random_labels`), post-processed and judged as the others. It is the floor
    of levels 2 to 6, and the ceiling of level 1.

    Parameters
    ----------
    adata
        Registered screen with a ``batch_key`` and log expression in the registered layer.
    use_rep
        Keys of ``.obsm``.
    postprocess
        ``"raw"``, and names of functions of :mod:`pertscope.pp`: ``"center"``,
        ``"center_scale"``, ``"tvn"``, ``"sphere"``, ``"harmony"``, ``"combat"``, ``"scanorama"``.
    levels
        Levels to judge.
    databases
        What :func:`~pertscope.ev.relationship_recall` takes; level 5 is left out without.
    options
        Further arguments by function: ``{"linear_probe": {"n_epochs": 50}}``.
    n_seeds
        Seeds of what is random: batches that are held out, first weights.
    seed
        First seed.
    key_added
        Key of the table.

    Returns
    -------
    ``None``. Writes two DataFrames. ``.uns[key_added]``, one row per level, metric, representation
    and post-processing: ``level`` (int64), ``function``, ``metric``, ``representation``,
    ``postprocess`` (categorical), ``value``, its standard deviation over seeds ``sd`` (float64, NaN
    where nothing is drawn), ``best`` (bool: the representation's best post-processing for this
    metric). ``.uns[key_added + "_table"]``, one row per level and metric and one column per
    representation: the values of the best post-processing. They were chosen by what they show, the
    floor's too.

    Raises
    ------
    KeyError
        If the screen is not registered, or a representation does not exist.
    ValueError
        If a level or a post-processing is unknown, or what one of the functions refuses.

    References
    ----------
    Bendidi et al. (2024), Table 2.

    Examples
    --------
    >>> import pertscope as ps, scanpy as sc
    >>> adata = ps.datasets.simulate_screen(n_perturbations=4, n_genes=50, n_batches=4, seed=0)
    >>> ps.pp.register(adata, batch_key="batch")
    >>> ps.pp.normalize(adata)
    >>> sc.pp.pca(adata, n_comps=5)
    >>> ps.ev.evaluate_representations(adata, ["X_pca"], levels=[3, 4], n_seeds=1)
    >>> adata.uns["evaluate_representations_table"].columns.tolist()
    ['level', 'function', 'metric', 'random_labels', 'X_pca']
    """
    keys.check_key(key_added)
    screen = Screen.of(adata)
    require_batches(screen)
    given = {name: dict(values) for name, values in (options or {}).items()}
    _check(use_rep, postprocess, levels, given)
    from pertscope.pp import random_labels

    scratch = _scratch(adata, screen)
    for name in use_rep:
        scratch.obsm[name] = representation_of(adata, name)
    random_labels(scratch, use_rep[0], seed=seed, key_added=RANDOM_LABELS)
    seeds = {"seed": seed, "n_seeds": n_seeds}
    own: dict[int, dict[str, Any]] = {1: {"metrics": ["ilisi"]}, 5: {"databases": databases}}
    rows: list[dict[str, object]] = []
    for name in (RANDOM_LABELS, *use_rep):
        for how in postprocess:
            _postprocess(scratch, name, how)
            for level in levels:
                function, metrics = LEVELS[level]
                if level == 5 and not len(databases):
                    continue
                arguments: dict[str, Any] = dict(seeds) if function in SEEDED else {}
                arguments |= own.get(level, {})
                arguments |= given.get(function.__name__, {})
                function(scratch, SCRATCH, **arguments, key_added=SCRATCH)
                rows += [
                    {
                        **dict(zip(INDEX, (level, function.__name__, metric), strict=True)),
                        "representation": name,
                        "postprocess": how,
                        keys.VALUE: value,
                        "sd": sd,
                    }
                    for metric, value, sd in _summary(scratch.uns[SCRATCH], level, metrics)
                ]
    table = _tidy(rows, [RANDOM_LABELS, *use_rep])
    require_actual(adata)
    adata.uns[key_added] = table
    adata.uns[f"{key_added}_table"] = _wide(table)


def _check(
    use_rep: Sequence[str],
    postprocess: Sequence[str],
    levels: Sequence[int],
    options: Mapping[str, Any],
) -> None:
    if isinstance(use_rep, str):
        raise TypeError(f"`use_rep` takes a list of keys of `.obsm`: [{use_rep!r}].")
    if not (len(use_rep) and len(postprocess) and len(levels)):
        raise ValueError("`use_rep`, `postprocess` and `levels` must not be empty.")
    functions = [function.__name__ for function, _ in LEVELS.values()]
    for what, asked, known in (
        ("postprocess", postprocess, POSTPROCESS),
        ("levels", levels, tuple(LEVELS)),
        ("options", options, functions),
    ):
        unknown = [v for v in asked if v not in known]
        if unknown:
            raise ValueError(
                f"`{what}` holds {listed(unknown)}; {nearest(unknown[0], known, limit=8)}."
            )
    if RANDOM_LABELS in use_rep or len(set(use_rep)) < len(use_rep):
        raise ValueError(f"`use_rep`={list(use_rep)} must be distinct, and none {RANDOM_LABELS!r}.")


def _scratch(adata: AnnData, screen: Screen) -> AnnData:
    """An AnnData of the same cells and expression to write to; matrices are shared."""
    from anndata import AnnData

    layers = {} if screen.layer is None else {screen.layer: adata.layers[screen.layer]}
    scratch = AnnData(
        adata.X if screen.layer is None else None,
        obs=adata.obs.copy(),
        var=adata.var[[]].copy(),
        layers=layers,
    )
    screen.write(scratch)
    return scratch


def _postprocess(scratch: AnnData, name: str, how: str) -> None:
    """Put the post-processed representation where it is judged."""
    from pertscope import pp

    if how == RAW:
        scratch.obsm[SCRATCH] = scratch.obsm[name]
    else:
        getattr(pp, how)(scratch, name, key_added=SCRATCH)


def _summary(
    table: pd.DataFrame, level: int, metrics: tuple[str, ...]
) -> list[tuple[str, float, float]]:
    """Mean and standard deviation of each metric of a table."""
    if level == 3:
        tested = table["p_value"].notna()
        return [(metrics[0], float(table.loc[tested, "significant"].mean()), np.nan)]
    if level == 5:
        names = table["database"].astype(str)
        return [(n, float(v), np.nan) for n, v in zip(names, table["recall"], strict=True)]
    by_metric = table.groupby(table[keys.METRIC].astype(str))[keys.VALUE]
    return [(m, float(by_metric.mean()[m]), float(by_metric.std()[m])) for m in metrics]


def _tidy(rows: list[dict[str, object]], representations: list[str]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    best = table.groupby([*INDEX, "representation"])[keys.VALUE].idxmax()
    table["best"] = table.index.isin(best.dropna())
    for column in ("function", keys.METRIC, "postprocess"):
        table[column] = table[column].astype("category")
    table["representation"] = pd.Categorical(table["representation"], categories=representations)
    table.index = table.index.astype(str)
    return table


def _wide(table: pd.DataFrame) -> pd.DataFrame:
    """Best values, one row per metric and one column per representation."""
    text = dict.fromkeys((*INDEX[1:], "representation"), str)
    best = table[table["best"]].astype(text)
    wide = best.pivot_table(keys.VALUE, list(INDEX), "representation", sort=False)
    wide = wide[table["representation"].cat.categories].sort_index(level=0, sort_remaining=False)
    wide = wide.rename_axis(columns=None).reset_index()
    wide.index = wide.index.astype(str)
    return wide
