"""Say what was assumed by a judgement, and what it left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pertscope._core import keys
from pertscope._core.messages import listed
from pertscope._core.screen import Screen
from pertscope.ev._compat import COMPAT_STATISTIC, TOOLS
from pertscope.ev._evaluate import DEFAULT

if TYPE_CHECKING:
    import argparse

    from pertscope.cli._judgement import Judgement


def n_conditions(n: int) -> str:
    """``1 condition``, ``2,000 conditions``."""
    return f"{n:,} condition{'s' * (n != 1)}"


def bounds(found: Judgement, arguments: argparse.Namespace) -> list[str]:
    """Which controls, metrics, guesses and replicates were taken."""
    own = (arguments.against or ("own" if arguments.compat == "cell-eval" else "")) == "own"
    controls = "its own controls" if own else "the observed controls of the same covariates"
    said = [f"Effects and tests of a prediction are against {controls}."]
    if arguments.compat:
        said.append(f"Metrics, names and conventions are those of {arguments.compat}.")
    if arguments.no_floor:
        said.append("No floor was computed.")
    else:
        guesses = "no_change, mean_effect, permuted or (for combinations) additive"
        said.append(f"Floor: the best of the uninformed guesses {guesses}, metric by metric.")
        if found.split is None and Screen.of(found.adata).split_key not in found.adata.obs:
            said.append("Without a split, the guess mean_effect is made of the judged conditions.")
    said.append(
        "No ceiling was computed."
        if arguments.no_ceiling
        else "Ceiling: one half of the cells of each condition against the other, mean of five "
        f"halvings (seed {arguments.seed}); errors, distances, r2 and "
        "correlations are corrected to all cells, ranks and tests are not."
    )
    return said


def left_out(found: Judgement, arguments: argparse.Namespace) -> list[str]:
    """Metrics that were wanted and that a prediction cannot have."""
    wanted = list(arguments.metrics or (TOOLS[arguments.compat] if arguments.compat else DEFAULT))
    said = []
    table = found.table
    names = table[keys.METRIC].astype(str) + "_" + table[keys.STATISTIC].astype(str)
    if arguments.compat:
        wanted = [f"{metric}_{COMPAT_STATISTIC}" for metric in wanted]
    elif not arguments.metrics and not names.str.endswith("_logfc").any():
        wanted = [name.replace("_logfc", "_effect") for name in wanted]
        said.append("Fold changes are undefined for these values: effects were judged instead.")
    for prediction in found.files:
        rows = table[keys.PREDICTION].astype(str) == prediction
        said.append(f"{prediction!r}: judged by {n_conditions(found.n_judged(prediction))}.")
        here = set(names[rows])
        lacking = [name for name in dict.fromkeys(wanted) if name not in here]
        if lacking:
            said.append(
                f"{prediction!r} has not the cells, or not the control cells, for "
                f"{listed(lacking, limit=len(lacking))}: left out."
            )
    return said
