"""Logistic regression of the labels of many genes at once: down, unchanged or up."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.deg_labels import LABELS, macro_f1_per_gene
from pertscope.models.response._lbfgs import minimise

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

GENES_AT_ONCE = 128
N_GENES = 500
"""A penalty is chosen by at most so many genes."""

ABSENT = -1e30
"""Intercept of a label that a gene never has in training."""

FINE, COARSE = 1e-8, 1e-5
"""A gene has settled when a step promises to lower its loss by less: at last, and in choosing,
where numbers are float32."""


def logistic_path(
    features: np.ndarray, labels: np.ndarray, penalties: Sequence[float], *, tolerance: float
) -> Iterator[tuple[int, np.ndarray, int]]:
    """Coefficients for each penalty, the largest first.

    With ``p_i = softmax(w z_i + b)`` over the k labels that a gene has in training, label c in n_c
    of the n conditions, they minimise, for each gene, ``- 1/n sum_i n / (k n_y(i)) log p_iy(i) + a
    |w|^2 / 2``. As scikit-learn's LogisticRegression with balanced classes and ``C = 1 / (n a)``,
    but that with two labels it has one w, and ``C = 2 / (n a)``.

    Parameters
    ----------
    features
        float64 or float32 ``(n, features)``.
    labels
        ``(n, genes)`` of -1, 0 and 1.

    Yields
    ------
    Which penalty it is, its coefficients, of the type of the features ``(labels, features + 1,
    genes)``, intercepts last, and how many genes did not settle.
    """
    loss = _Loss(features, labels)
    found = np.zeros((len(LABELS) * loss.design.shape[1], labels.shape[1]), features.dtype)
    for i in np.argsort(penalties)[::-1]:
        loss.penalty = penalties[i]
        found, unsettled = minimise(loss, found, loss.scale(), tolerance=tolerance)
        coefficients = found.reshape(len(LABELS), -1, labels.shape[1]).copy()
        coefficients[:, -1] += loss.offset
        yield int(i), coefficients, unsettled


class _Loss:
    """Loss of genes as a function of their coefficients ``(labels * (features + 1), genes)``."""

    def __init__(self, features: np.ndarray, labels: np.ndarray) -> None:
        self.design = np.column_stack([features, np.ones(len(features), features.dtype)])
        self.penalty = 0.0
        is_label = [labels == label for label in LABELS]
        count = np.stack([np.count_nonzero(x, axis=0) for x in is_label])
        weight = 1 / (np.count_nonzero(count, axis=0) * np.maximum(count, 1))
        weight = weight.astype(features.dtype)
        self.true = np.stack([x * w for x, w in zip(is_label, weight, strict=True)])
        self.weight = self.true.sum(axis=0)
        self.offset = np.where(count > 0, 0.0, ABSENT).astype(features.dtype)

    def __call__(self, x: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values ``(genes,)`` and gradients of some of the genes."""
        true, weight, offset = self.true, self.weight, self.offset
        if len(which) < weight.shape[1]:
            true, weight, offset = true[..., which], weight[:, which], offset[:, which]
        w = x.reshape(len(LABELS), -1, len(which))
        logits = np.matmul(self.design, w)
        logits += offset[:, None]
        logits -= logits.max(axis=0)
        value = -np.einsum("cig,cig->g", true, logits)
        np.exp(logits, out=logits)
        total = logits.sum(axis=0)
        value += np.einsum("ig,ig->g", weight, np.log(total))
        logits *= weight / total
        logits -= true
        gradient = np.matmul(self.design.T, logits)
        slopes = w[:, :-1]
        value += self.penalty / 2 * np.einsum("cdg,cdg->g", slopes, slopes)
        gradient[:, :-1] += self.penalty * slopes
        return value, gradient.reshape(x.shape)

    def scale(self) -> np.ndarray:
        """Inverse of the Hessian's diagonal, roughly: where all labels are as likely."""
        diagonal = (self.design**2).T @ self.weight / 4
        diagonal[:-1] += self.penalty
        return np.tile(1 / diagonal, (len(LABELS), 1))


def fit_logistic(features: np.ndarray, labels: np.ndarray, penalty: float) -> np.ndarray:
    """Coefficients for one penalty, float64 ``(labels, features + 1, genes)``.

    Warns
    -----
    UserWarning
        If genes did not settle.
    """
    parts, unsettled = [], 0
    for genes in _blocks(labels.shape[1]):
        path = logistic_path(features, labels[:, genes], [penalty], tolerance=FINE)
        for _, coefficients, left in path:
            parts.append(coefficients)
            unsettled += left
    if unsettled:
        warnings.warn(
            f"{unsettled} of {labels.shape[1]} regressions did not settle with a penalty of "
            f"{penalty:g}: offer larger `penalties`, or take fewer `n_components`.",
            UserWarning,
            stacklevel=2,
        )
    return np.concatenate(parts, axis=2)


def logistic_labels(coefficients: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Most probable labels, int8 ``(conditions, genes)``."""
    logits = np.matmul(features, coefficients[:, :-1]) + coefficients[:, -1:]
    return np.array(LABELS, np.int8)[logits.argmax(axis=0)]


def logistic_errors(
    features: np.ndarray,
    labels: np.ndarray,
    fold: np.ndarray,
    penalties: Sequence[float],
    *,
    seed: int,
) -> np.ndarray:
    """1 minus the macro-F1 of held-out labels for each penalty, float64 ``(penalties,)``.

    Per gene over all conditions, then the mean over genes: over those whose label varies, a random
    500 of them where there are more.
    """
    genes = np.flatnonzero(np.ptp(labels, axis=0))
    if len(genes) > N_GENES:
        genes = np.sort(np.random.default_rng(seed).choice(genes, N_GENES, replace=False))
    z, total = features.astype(np.float32), np.zeros(len(penalties))
    for block in _blocks(len(genes)):
        y = labels[:, genes[block]]
        found = np.zeros((len(penalties), *y.shape), np.int8)
        for held_out in (fold == f for f in np.unique(fold)):
            path = logistic_path(z[~held_out], y[~held_out], penalties, tolerance=COARSE)
            for i, coefficients, _ in path:
                found[i, held_out] = logistic_labels(coefficients, z[held_out])
        total += [macro_f1_per_gene(f, y).sum() for f in found]
    return 1 - total / max(len(genes), 1)


def _blocks(n: int) -> Iterator[slice]:
    return (slice(first, first + GENES_AT_ONCE) for first in range(0, n, GENES_AT_ONCE))
