"""Collect the responses of control cells: their mean per condition, or the cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pertscope._core.matrix import dense_rows
from pertscope.models.requests import control_means

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pertscope._core.conditions import Conditions
    from pertscope.models.doses import Mixture

    Respond = Callable[[np.ndarray, Conditions], Iterator[np.ndarray]]

CONTROLS_PER_CHUNK = 1024


def mean_responses(
    respond: Respond, x: Any, controls: Sequence[np.ndarray], mixture: Mixture, n_genes: int
) -> np.ndarray:
    """Mean response of all controls of each condition, over its doses, float64.

    Parameters
    ----------
    respond
        Responses of some controls to each of some conditions.
    x
        Cells x what the model sees of a control.
    controls
        Rows of the controls of each combination of covariates.
    mixture
        The conditions, at their doses.
    n_genes
        Genes that are predicted.
    """
    result = np.zeros((mixture.of.max() + 1, n_genes))
    for context, rows in enumerate(controls):
        chosen = np.flatnonzero(mixture.conditions.context == context)
        part = mixture.conditions.take(chosen)
        for start in range(0, len(rows), CONTROLS_PER_CHUNK):
            x0 = dense_rows(x, rows[start : start + CONTROLS_PER_CHUNK])
            for i, cells in zip(chosen, respond(x0, part), strict=True):
                total = cells.sum(axis=0, dtype=np.float64)
                result[mixture.of[i]] += mixture.share[i] / len(rows) * total
    return result


def responses_of_means(
    respond: Respond,
    x: Any,
    controls: Sequence[np.ndarray],
    mixture: Mixture,
    genes: Sequence[str],
) -> np.ndarray:
    """The same where the response of a mean is the mean response: one pass over the cells."""
    result = np.zeros((mixture.of.max() + 1, len(genes)))
    for context, mean in enumerate(control_means(x, controls, genes)):
        chosen = np.flatnonzero(mixture.conditions.context == context)
        responses = respond(mean[None], mixture.conditions.take(chosen))
        for i, response in zip(chosen, responses, strict=True):
            result[mixture.of[i]] += mixture.share[i] * response[0]
    return result


def cell_responses(
    respond: Respond,
    x: Any,
    controls: Sequence[np.ndarray],
    mixture: Mixture,
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """Response of each control of each condition, at one of its doses drawn for each cell."""
    result: list[np.ndarray] = [np.empty(0)] * (mixture.of.max() + 1)
    for context, rows in enumerate(controls):
        x0 = dense_rows(x, rows)
        chosen = np.flatnonzero(mixture.conditions.context == context)
        drawn: dict[int, np.ndarray] = {}
        responses = respond(x0, mixture.conditions.take(chosen))
        for i, cells in zip(chosen, responses, strict=True):
            of = int(mixture.of[i])
            if of not in drawn:
                doses = np.flatnonzero(mixture.of == of)
                drawn[of] = rng.choice(doses, len(rows), p=mixture.share[doses])
                result[of] = np.empty_like(cells)
            result[of][drawn[of] == i] = cells[drawn[of] == i]
    return result
