"""What efaar_benchmarking 1.0 computes, which does not install here, by scikit-learn."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.preprocessing import StandardScaler


def center_scale(x: np.ndarray, is_control: np.ndarray, batch: np.ndarray) -> np.ndarray:
    """``centerscale_on_controls`` by batch."""
    found = np.empty(x.shape)
    for b in np.unique(batch):
        here = batch == b
        found[here] = StandardScaler().fit(x[here & is_control]).transform(x[here])
    return found


def recall(x: np.ndarray, labels: np.ndarray, known: pd.DataFrame) -> tuple[float, int]:
    """``known_relationship_benchmark`` of means: recall in the tails of 5 %, and pairs used."""
    means = pd.DataFrame(x).groupby(labels).mean()
    cosine = cosine_similarity(means)
    every = np.sort(cosine[np.triu_indices(len(means), 1)])
    place = {name: i for i, name in enumerate(means.index)}
    pairs = {tuple(sorted(p)) for p in known.itertuples(index=False) if p[0] != p[1]}
    pairs = [(place[a], place[b]) for a, b in pairs if a in place and b in place]
    found = np.array([cosine[i, j] for i, j in pairs])
    left, right = (np.searchsorted(every, found, side) / len(every) for side in ("left", "right"))
    return float(np.mean((right <= 0.05) | (left >= 0.95))), len(pairs)


def consistency(x: np.ndarray, labels: np.ndarray, null: list[str]) -> pd.DataFrame:
    """``pert_signal_consistency_benchmark``: mean cosine without the diagonal, and p-value."""

    def similarity(label: str) -> float:
        cosine = cosine_similarity(x[labels == label])
        return float(cosine[np.tril_indices(len(cosine), -1)].mean())

    known = np.sort([similarity(label) for label in null])
    tested = np.setdiff1d(labels, null)
    values = np.array([similarity(label) for label in tested])
    p = 1 - np.searchsorted(known, values) / len(known)
    return pd.DataFrame({"similarity": values, "p_value": p}, index=tested)
