"""Every name that pertscope writes into an AnnData, spelled once."""

from __future__ import annotations

UNS = "pertscope"
"""``adata.uns[UNS]`` holds what pertscope knows of a screen."""

SCREEN = "screen"
"""``uns[UNS][SCREEN]``: what the columns of the screen mean."""

SPLITS = "splits"
FOLD = "fold"
"""``uns[UNS][SPLITS][split_key]``: how a split was made."""

PREDICTIONS = "predictions"
"""``uns[UNS][PREDICTIONS][key]``: one AnnData per prediction."""

REPRESENTATIONS = "representations"
"""``uns[UNS][REPRESENTATIONS][key]``: how ``obsm[key]`` was made."""

PERTURBATION_EMBEDDINGS = "perturbation_embeddings"
"""``uns[UNS][PERTURBATION_EMBEDDINGS][name]``: one table per embedding, perturbations in rows."""

SCORES = "scores"
"""``uns[UNS][SCORES]``: the ``uns`` keys of all score tables, oldest first."""

TUNE = "tune"
"""``uns[TUNE][key]``: the table of trials of a tuned model."""

TRAIN, VAL, TEST = "train", "val", "test"
PARTS = (TRAIN, VAL, TEST)

PREDICTION, PERTURBATION, STATISTIC, METRIC, VALUE = (
    "prediction",
    "perturbation",
    "statistic",
    "metric",
    "value",
)
"""Columns of a score table, beside the covariates."""

FLOOR, FLOOR_NAME, CEILING, NORMALISED = "floor", "floor_name", "ceiling", "normalised"
BETTER = "better"
"""Further columns of a score table, and of the table that joins them."""

QUANTILE = "quantile"
"""Column of a table of ceilings."""

CONDITION_COLUMNS = ("n_cells", "n_controls", "is_control", "is_combination", "split")
"""Columns of the table of conditions, beside the covariates and the perturbation."""

TABLE_COLUMNS = (
    *(PREDICTION, PERTURBATION, STATISTIC, METRIC, VALUE),
    *(FLOOR, FLOOR_NAME, CEILING, NORMALISED, BETTER, QUANTILE),
    *CONDITION_COLUMNS,
    *("gene", "effect", "score", "p_value", "p_adjusted"),
)
"""Columns that stand beside covariates in tables of scores, of conditions and of tests of genes."""

COUNTS_LAYER = "counts"
CONTROL_MEAN = "control_mean"
"""``layers[CONTROL_MEAN]`` of a screen of effects: mean of the controls, in their rows."""

LOG1P = "log1p"
"""``uns[LOG1P]``: scanpy's own mark of logged data."""

HIGHLY_VARIABLE = "highly_variable"
DIFFERENTIALLY_EXPRESSED = "differentially_expressed"
PERTURBED = "perturbed"
SELECTED = "selected"


def check_key(key: object, what: str = "key_added") -> str:
    """Return `key` if h5ad and zarr can hold it as the name of an entry."""
    if not isinstance(key, str):
        raise TypeError(f"`{what}` must be a string, not {type(key).__name__}.")
    if not key or "/" in key:
        raise ValueError(
            f"`{what}`={key!r} cannot be stored: a key must not be empty or contain '/'."
        )
    return key
