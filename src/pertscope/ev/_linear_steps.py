"""AdamW for linear layers without automatic differentiation: products of small matrices.

A layer is one float32 array ``(inputs + 1, outputs)`` whose last row is the bias; what goes into it
ends with a column of ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

BETA1, BETA2 = 0.9, 0.999


def descend(
    x: np.ndarray,
    targets: Callable[[np.ndarray], Any],
    layers: list[np.ndarray],
    *,
    loss: str,
    steps: Iterable[tuple[float, np.ndarray]],
    weight_decay: float,
) -> None:
    """Train layers in place.

    Parameters
    ----------
    x
        Inputs, float32 ``(rows, d)``.
    targets
        Targets of some rows, as :func:`~pertscope.ev._linear_layers.fit_layers` takes them.
    layers
        One layer for ``"cross_entropy"``, two for ``"mse_loss"``.
    loss
        What is minimised.
    steps
        Learning rate and rows of each step.
    weight_decay
        Of AdamW.
    """
    from pertscope.ev import _linear_kernels as kernels

    gradients_of = {"cross_entropy": _of_cross_entropy, "mse_loss": _of_squared_error}[loss]
    x = np.concatenate([x, np.ones((len(x), 1), np.float32)], axis=1)
    moments = [(np.zeros(w.size, np.float32), np.zeros(w.size, np.float32)) for w in layers]
    for i, (rate, rows) in enumerate(steps, start=1):
        correct = np.float32(1 / (1 - BETA1**i)), np.float32(1 / (1 - BETA2**i))
        keep = np.float32(1 - rate * weight_decay)
        gradients = gradients_of(x[rows], layers, targets(rows))
        for weights, gradient, moment in zip(layers, gradients, moments, strict=True):
            kernels.adam_step(
                weights.ravel(), gradient.ravel(), *moment, np.float32(rate), *correct, keep
            )


def _of_cross_entropy(
    x: np.ndarray, layers: list[np.ndarray], classes: np.ndarray
) -> list[np.ndarray]:
    """Gradient of the mean cross-entropy: ``x.T (softmax - one hot) / n``."""
    from pertscope.ev import _linear_kernels as kernels

    found = x @ layers[0]
    kernels.softmax_errors(found, classes)
    return [x.T @ found]


def _of_squared_error(x: np.ndarray, layers: list[np.ndarray], y: Any) -> list[np.ndarray]:
    r"""Gradients of the mean squared error of two layers.

    With :math:`E = X V_1 V_2 - Y` they need no more than :math:`X^T E = (X^T X) V_1 V_2 - X^T Y`:
    where there are more rows than columns of X this takes their place, and Y stays sparse.
    """
    from pertscope.ev import _linear_kernels as kernels

    last = layers[1]
    # a column that hands the ones on
    first = np.concatenate([layers[0], np.zeros((x.shape[1], 1), np.float32)], axis=1)
    first[-1, -1] = 1
    scale = np.float32(2 / (len(x) * last.shape[1]))
    if len(x) <= x.shape[1]:
        hidden = x @ first
        error = scale * (hidden @ last - (y.toarray() if sp.issparse(y) else y))
        return [x.T @ (error @ last[:-1].T), hidden.T @ error]
    of_error = last.T @ ((scale * (x.T @ x)) @ first).T  # E.T X
    if sp.issparse(y):
        y = y.tocsc()
        kernels.subtract_products(y.data, y.indices, y.indptr, x, scale, of_error)
    else:
        of_error -= scale * (y.T @ x)
    return [of_error.T @ last[:-1].T, first.T @ of_error.T]
