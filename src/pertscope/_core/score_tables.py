"""Score tables in ``.uns``: written by ``ev``, joined by ``get`` and ``pl``."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    """All score tables, one below the other; of scores that are in several, the latest.

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
    every = pd.concat([t.astype(dict.fromkeys(text, str)) for t in tables], ignore_index=True)
    values = [keys.VALUE, keys.FLOOR, keys.CEILING, keys.FLOOR_NAME, keys.BETTER]
    return every.drop_duplicates(every.columns.difference(values), keep="last", ignore_index=True)
