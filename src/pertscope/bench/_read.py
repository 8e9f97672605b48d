"""Results as a tidy table."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pertscope.bench._store import read_results

if TYPE_CHECKING:
    from collections.abc import Iterable

COLUMNS = (
    "task",
    "dataset",
    "scenario",
    "train_conditions",
    "train_cells",
    "imbalance",
    "model",
    "kind",
    "seed",
    "metric",
    "value",
    "n_conditions",
    "seconds",
    "error",
)


def read(results: Path | str) -> pd.DataFrame:
    """Read the results of a folder.

    Where the task, how it is run (`split_seeds`, `cells_per_condition`, the version of pertscope)
    or what is behind a name has changed, only the latest are read.

    Parameters
    ----------
    results
        Folder that :func:`pertscope.bench.run` wrote to.

    Returns
    -------
    One row per task, model, seed and metric: ``task``, ``dataset``, ``scenario`` (str);
    ``train_conditions``, ``train_cells`` (int), ``imbalance`` (float), what there was to learn
    from; ``model`` (``floor`` and ``ceiling`` among them), ``kind`` (``model``, ``floor``,
    ``ceiling``), ``seed``, ``metric``; ``value`` (float64), the mean over ``n_conditions`` test
    conditions; ``seconds``; ``error`` (str), empty where all went well. A model that failed has one
    row, without metric and value.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist or holds no results.

    Warns
    -----
    UserWarning
        If results of former settings are left out.

    Examples
    --------
    >>> import tempfile
    >>> import pertscope as ps
    >>> task = {
    ...     "name": "simulated",
    ...     "dataset": {"simulate_screen": {"n_perturbations": 8, "n_genes": 50}},
    ...     "screen": {"covariate_keys": ["cell_type"]},
    ...     "prepare": [{"normalize": {}}],
    ...     "split": {"split_transfer": {}},
    ...     "metrics": ["rmse_mean"],
    ... }
    >>> folder = tempfile.mkdtemp()
    >>> scores = ps.bench.run(task, "additive", seeds=[0], results=folder)
    >>> len(ps.bench.read(folder)) == len(scores)
    True
    """
    found = read_results(Path(results))
    latest: dict[Any, str] = {}
    last: dict[Any, dict[str, Any]] = {}
    for r in found:  # the oldest first
        latest[r["task"]] = r["task_variant"]
        latest[r["task"], r["model"], r["kind"]] = r["variant"]
        last[r["task"], r["model"], r["kind"], r["seed"]] = r
    kept = [
        r
        for (task, model, kind, _), r in last.items()
        if r["task_variant"] == latest[task] and r["variant"] == latest[task, model, kind]
    ]
    if len(kept) < len(found):
        names = sorted({r["model"] for r in found if r not in kept})
        warnings.warn(
            f"{results} also holds {len(found) - len(kept)} result(s) of former settings, which "
            f"are left out: {', '.join(names)}.",
            UserWarning,
            stacklevel=2,
        )
    return tidy(kept)


def tidy(results: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """One row per task, model, seed and metric; the order of the results does not matter."""
    rows = []
    for r in results:
        what = {k: r[k] for k in ("task", "dataset", "scenario", "model", "kind", "seed")}
        what |= r["data"] | {"seconds": r["seconds"], "error": r["error"] or ""}
        scores = r["scores"] or {"": None}
        rows += [
            what
            | {
                "metric": metric,
                "value": np.nan if value is None else value,
                "n_conditions": r["n_conditions"].get(metric, 0),
            }
            for metric, value in scores.items()
        ]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"value": float})
    order = [*dict.fromkeys(table["metric"])]
    place = {"model": 0, "floor": 1, "ceiling": 2}
    by = [table["task"], table["kind"].map(place), table["model"], table["seed"]]
    by.append(table["metric"].map({m: i for i, m in enumerate(order)}))
    sorted_rows = pd.concat(by, axis=1, keys=range(len(by))).sort_values(list(range(len(by))))
    return table.loc[sorted_rows.index].reset_index(drop=True)
