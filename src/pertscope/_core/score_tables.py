"""Score tables in ``.uns``: written by ``ev``, joined by ``get`` and ``pl``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pertscope._core import keys

if TYPE_CHECKING:
    from anndata import AnnData


def write_scores(adata: AnnData, key_added: str, table: pd.DataFrame) -> None:
    """Write a tidy score table to ``.uns[key_added]`` and remember that it is one."""
    adata.uns[key_added] = table
    entry = adata.uns.setdefault(keys.UNS, {})
    known = [str(k) for k in entry.get(keys.SCORES, [])]
    entry[keys.SCORES] = [*(k for k in known if k != key_added), key_added]


def score_tables(adata: AnnData) -> pd.DataFrame:
    """All score tables, one below the other; of a metric that is in several, the latest.

    Scores of one prediction, statistic and metric come from one table, so that conditions of
    different parts of a split, or of a screen that was registered otherwise, are not averaged.

    Raises
    ------
    KeyError
        If there is none.
    """
    known = [str(k) for k in adata.uns.get(keys.UNS, {}).get(keys.SCORES, [])]
    tables = [adata.uns[k] for k in known if k in adata.uns]
    if not tables:
        raise KeyError(
            "nothing was judged yet: call `ps.ev.evaluate`, or a family as `ps.ev.rank_metrics`."
        )
    text = [keys.PREDICTION, keys.STATISTIC, keys.METRIC]
    tables = [t.astype(dict.fromkeys(text, str)) for t in tables]
    every = pd.concat(tables, ignore_index=True)
    of_table = np.repeat(np.arange(len(tables)), [len(t) for t in tables])
    latest = pd.Series(of_table).groupby([every[c] for c in text]).transform("max")
    return every[of_table == latest].reset_index(drop=True)
