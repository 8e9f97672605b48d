"""Genes as down (-1), unchanged (0) or up (1), and how well that is predicted."""

from __future__ import annotations

import numpy as np

LABELS = (-1, 0, 1)
MAKE_LABELS = "make a screen of labels by `ps.tl.deg_labels(adata)`"


def are_labels(values: np.ndarray) -> bool:
    """Whether there is nothing but -1, 0 and 1."""
    return bool(np.isin(values, LABELS).all())


def require_labels(values: np.ndarray, what: str, advice: str = MAKE_LABELS) -> None:
    """Refuse values that are no labels.

    Raises
    ------
    ValueError
        If there is anything but -1, 0 and 1.
    """
    if not are_labels(values):
        raise ValueError(f"{what} must be labels, -1, 0 or 1, and there are others: {advice}.")


def deg_labels(score: np.ndarray, p_adjusted: np.ndarray, alpha: float = 0.05) -> np.ndarray:
    """Sign of the score where the adjusted p-value is below alpha, else 0.

    Parameters
    ----------
    score, p_adjusted
        Float ``(p, G)``; a gene with a NaN in either is unchanged.
    alpha
        False discovery rate.

    Returns
    -------
    int8 ``(p, G)`` of -1, 0 and 1.
    """
    found = (p_adjusted < alpha) & ~np.isnan(score)
    return np.sign(np.where(found, score, 0.0)).astype(np.int8)


def majority_labels(labels: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """The label that most batches give to a gene.

    A tie of unchanged and one direction is that direction, a tie of both directions is unchanged.

    Parameters
    ----------
    labels
        int8 ``(batches, p, G)`` of -1, 0 and 1.
    valid
        Bool ``(batches, p)``, the batches in which a condition was tested.

    Returns
    -------
    int8 ``(p, G)``.

    Raises
    ------
    ValueError
        If a condition was tested in no batch.
    """
    untested = ~valid.any(axis=0)
    if untested.any():
        raise ValueError(
            f"{np.count_nonzero(untested)} condition(s), the first at {int(untested.argmax())}, "
            "were tested in no batch and have no label: leave them out."
        )
    down, unchanged, up = (
        np.count_nonzero((labels == label) & valid[:, :, None], axis=0) for label in LABELS
    )
    is_up = (up > down) & (up >= unchanged)
    is_down = (down > up) & (down >= unchanged)
    return is_up.astype(np.int8) - is_down.astype(np.int8)


def most_frequent_labels(labels: np.ndarray) -> np.ndarray:
    """The label that most conditions give to a gene, int8 ``(G,)``; ties as those of batches.

    Parameters
    ----------
    labels
        ``(p, G)`` of -1, 0 and 1.
    """
    return majority_labels(labels[:, None], np.ones((len(labels), 1), dtype=bool))[0]


def macro_f1_per_gene(predicted: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """F1 of the labels over conditions, one value per gene, float64 ``(G,)``.

    ``mean over labels c in the gene's truth of 2 TP_c / (2 TP_c + FP_c + FN_c)``. Labels that are
    predicted but never true have no F1 of their own; they lower that of the others.

    Parameters
    ----------
    predicted, observed
        int8 ``(p, G)`` of -1, 0 and 1.
    """
    return _macro_f1(predicted, observed, axis=0)


def macro_f1_per_condition(predicted: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """F1 of the labels over genes, one value per condition, float64 ``(p,)``.

    As :func:`macro_f1_per_gene` with genes and conditions exchanged.
    """
    return _macro_f1(predicted, observed, axis=1)


def _macro_f1(predicted: np.ndarray, observed: np.ndarray, axis: int) -> np.ndarray:
    if predicted.shape != observed.shape:
        raise ValueError(
            f"`predicted` is {predicted.shape}, `observed` {observed.shape}; they must be the same."
        )
    total = np.zeros(observed.shape[1 - axis])
    classes = np.zeros(observed.shape[1 - axis])
    for label in LABELS:
        said, true = predicted == label, observed == label
        hits = np.count_nonzero(said & true, axis=axis)
        n_true = np.count_nonzero(true, axis=axis)
        n_said = np.count_nonzero(said, axis=axis)
        present = n_true > 0
        total[present] += (2 * hits / np.maximum(n_said + n_true, 1))[present]
        classes += present
    return np.divide(total, classes, out=np.full(len(total), np.nan), where=classes > 0)
