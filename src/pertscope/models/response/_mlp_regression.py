"""Regression by a small network: one hidden layer, trained by scikit-learn's Adam."""

from __future__ import annotations

import numpy as np

PATIENCE, MAX_EPOCHS = 25, 500


def fit_mlp(
    features: np.ndarray, effects: np.ndarray, held_out: np.ndarray, *, n_hidden: int, seed: int
) -> dict[str, np.ndarray]:
    """Train on the rest of the rows until the held-out ones have got no better for 25 epochs.

    Features and effects are centred and divided by one number each, so that rates mean the same
    everywhere; the weights of the best epoch are kept.

    Parameters
    ----------
    held_out
        Bool ``(n,)``.
    """
    from sklearn.neural_network import MLPRegressor

    z_scale, center, y_scale = features.std(), effects.mean(axis=0), effects.std()
    z, y = features / (z_scale or 1.0), (effects - center) / (y_scale or 1.0)
    net = MLPRegressor(hidden_layer_sizes=(n_hidden,), shuffle=False, random_state=seed)
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(~held_out)
    best, weights, waited = float("inf"), None, 0
    for _ in range(MAX_EPOCHS):
        drawn = rng.permutation(rows)
        net.partial_fit(z[drawn], y[drawn] if y.shape[1] > 1 else y[drawn, 0])
        found = net.predict(z[held_out]).reshape(-1, y.shape[1])
        error = float(np.linalg.norm(found - y[held_out]))
        waited += 1
        if error < best:
            best, waited = error, 0
            weights = [w.copy() for w in (*net.coefs_, *net.intercepts_)]
        if waited == PATIENCE:
            break
    if weights is None:
        raise ValueError("the network found no finite weights: are the effects finite?")
    return {
        "hidden": np.vstack([weights[0] / (z_scale or 1.0), weights[2]]),
        "out": np.vstack([weights[1] * y_scale, weights[3] * y_scale + center]),
    }


def mlp_effects(arrays: dict[str, np.ndarray], features: np.ndarray) -> np.ndarray:
    """Effects of features, float64 ``(conditions, genes)``."""
    hidden, out = arrays["hidden"], arrays["out"]
    return np.maximum(features @ hidden[:-1] + hidden[-1], 0) @ out[:-1] + out[-1]
