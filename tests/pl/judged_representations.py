"""Tables of judged representations, without judging."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd

LEVELS = (
    (1, "integration", "ilisi"),
    (2, "linear_probe", "top5_accuracy"),
    (2, "linear_probe", "top1_accuracy"),
    (3, "consistency", "consistency"),
    (5, "relationship_recall", "a_long_database_of_pairs_of_one's_own"),
    (6, "reconstruction", "structural_integrity"),
)
POSTPROCESS = ("raw", "center_scale", "tvn")
NAMES = (
    "X_pca",
    "X_a_rather_long_name_of_a_representation",
    *(f"X_model_{i}" for i in range(10)),
)


def screen_of(**tables: pd.DataFrame) -> ad.AnnData:
    """AnnData with nothing but these tables."""
    return ad.AnnData(np.zeros((2, 1)), uns=tables)


def evaluated(n: int, postprocess: tuple[str, ...] = POSTPROCESS) -> pd.DataFrame:
    """As ``ps.ev.evaluate_representations`` writes it, of `n` representations."""
    rng = np.random.default_rng(0)
    rows = [
        (*level, name, how, rng.uniform(0.1, 0.9) if name in NAMES else 0.05, np.nan)
        for name in ("random_labels", *NAMES[:n])
        for how in postprocess
        for level in LEVELS
    ]
    index = ["level", "function", "metric", "representation"]
    table = pd.DataFrame(rows, columns=[*index, "postprocess", "value", "sd"])
    table.loc[(table["level"] == 1) & (table["representation"] == "random_labels"), "value"] = 1.0
    table["best"] = table.index.isin(table.groupby(index)["value"].idxmax())
    for column in ("function", "metric", "representation", "postprocess"):
        table[column] = table[column].astype("category")
    return table


def integrated(n: int) -> pd.DataFrame:
    """As ``ps.ev.integration`` writes it, of `n` representations."""
    rng = np.random.default_rng(0)
    rows = []
    for name in NAMES[:n]:
        batch, biology = rng.uniform(0.3, 0.8), rng.uniform(0.4, 0.6)
        total = 0.4 * batch + 0.6 * biology
        scores = {"batch": batch, "biology": biology, "total": total}
        rows += [(name, "ilisi", "batch", batch, ""), (name, "clisi", "biology", biology, "")]
        rows += [(name, metric, "total", value, "") for metric, value in scores.items()]
    return pd.DataFrame(rows, columns=["representation", "metric", "kind", "value", "note"])


def recalled(n: int, databases: tuple[str, ...] = ("reactome", "corum", "few")) -> pd.DataFrame:
    """As ``ps.ev.relationship_recall`` writes it, of `n` representations; ``"few"`` is NaN."""
    rng = np.random.default_rng(0)
    rows = [
        (name, database, 1000 * (1 + i), np.nan if database == "few" else rng.uniform(), 0.1)
        for name in NAMES[:n]
        for i, database in enumerate(databases)
    ]
    columns = ["representation", "database", "n_pairs", "recall", "floor"]
    return pd.DataFrame(rows, columns=columns).astype({"database": "category"})
