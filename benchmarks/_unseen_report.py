"""How cross-validated predictions are reported: errors, gains with intervals, and a verdict."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

import pertscope as ps
from pertscope.ev._gap_table import of_all

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

COLUMNS = {
    "value": "l2",
    "gain": "gain",
    "gain_low": "low",
    "gain_high": "high",
    "beats_floor": "beats",
    "gap_closed": "gap closed",
}


def report(screen: AnnData, ceiling: pd.DataFrame) -> list[str]:
    """Print errors of all predictions, their gains over the train mean, and what to make of them.

    Parameters
    ----------
    screen
        Screen of effects, cross-validated.
    ceiling
        Experimental errors of the screen that the effects were made from.

    Returns
    -------
    Predictions that beat the train mean, bounds among them.
    """
    ps.ev.error_metrics(screen, metrics=["l2", "cosine"], statistics=["effect"], split=None)
    ps.ev.rank_metrics(screen, distances=[("l2", "effect")], split=None)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        ps.ev.gap_closed(screen, ceiling=ceiling)
    table = of_all(screen.uns["gap_closed"]).set_index("prediction")
    others = ps.get.scores(screen)["mean"]
    shown = table[list(COLUMNS)].rename(columns=COLUMNS)
    shown["beats"] = shown["beats"].map({True: "yes", False: "no"})
    shown["cosine"] = others["cosine_effect"].loc[shown.index.astype(str)].to_numpy()
    shown["rank"] = others["l2_rank_effect"].loc[shown.index.astype(str)].to_numpy()
    print("l2 error of the effect, and by how much less than the train mean's, with intervals that")
    print("hold together; cosine, and rank of the own prediction among all: 0.5 is chance")
    print(shown.sort_values("l2").round(3).replace(-0.0, 0.0).to_string())
    print(f"experimental error, mean: {table['ceiling'].iloc[0]:.3f}\n")
    print(said.getvalue().strip())
    return table.index[table["beats_floor"]].astype(str).tolist()
