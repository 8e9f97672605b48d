"""Neighbours, LISI and silhouettes against scib-metrics and harmonypy.

100,000 and 20,000 cells x 50, 30 labels, 5 batches. Run with
``python benchmarks/bench_integration.py``; scib-metrics and harmonypy must be installed.
"""

from __future__ import annotations

import harmonypy
import numpy as np
import pandas as pd
import scib_metrics
from _timing import compare, seconds
from scib_metrics.nearest_neighbors import pynndescent

from pertscope._core import neighbors
from pertscope.ev._lisi import lisi, neighbor_weights, scaled_lisi
from pertscope.ev._silhouette import batch_silhouettes, silhouettes

LABELS, BATCHES, PERPLEXITY = 30, 5, 30


def cells(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells ``(n, 50)`` around their label's centre and beside their batch's, with both codes."""
    rng = np.random.default_rng(seed)
    labels, batch = rng.integers(LABELS, size=n), rng.integers(BATCHES, size=n)
    centre, shift = 2 * rng.normal(size=(LABELS, 50)), 0.2 * rng.normal(size=(BATCHES, 50))
    return centre[labels] + shift[batch] + rng.normal(size=(n, 50)), labels, batch


def search(x: np.ndarray, k: int, method: str = "exact") -> neighbors.Neighbors:
    """Neighbours that are searched anew."""
    neighbors._found.clear()
    return neighbors.nearest(x, k, method=method)


def our_lisi(x: np.ndarray, batch: np.ndarray) -> np.ndarray:
    """LISI with its neighbours."""
    found = search(x, 3 * PERPLEXITY)
    weights = neighbor_weights(found.distances, perplexity=PERPLEXITY)
    return lisi(weights, found.indices, batch)


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    """Share of the true neighbours that were found."""
    return float(
        np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, truth, strict=True)])
    )


def compare_lisi() -> None:
    """LISI of 100,000 cells against scib-metrics, of 20,000 against harmonypy."""
    x, _, batch = cells(100_000)
    some = np.random.default_rng(1).choice(len(x), 500, replace=False)
    d = (x[some] ** 2).sum(1)[:, None] + (x**2).sum(1) - 2 * x[some] @ x.T
    d[np.arange(len(some)), some] = np.inf
    truth = np.argsort(d, axis=1)[:, : 3 * PERPLEXITY]
    peer = pynndescent(x, 3 * PERPLEXITY)
    print(f"recall of our neighbours: {recall(search(x, 90).indices[some], truth):.4f}")
    print(f"recall of scib-metrics': {recall(peer.indices[some, 1:], truth[:, :-1]):.4f}")
    ours = scaled_lisi(our_lisi(x, batch), BATCHES, scale="median", mixed=True)
    np.testing.assert_allclose(ours, scib_metrics.ilisi_knn(peer, batch), atol=0.02)

    def theirs() -> object:
        return scib_metrics.ilisi_knn(pynndescent(x, 3 * PERPLEXITY), batch)

    compare("LISI of 100,000 x 50, scib-metrics", lambda: our_lisi(x, batch), theirs, n=3)

    x, _, batch = cells(20_000)
    table = pd.DataFrame({"batch": batch.astype(str)})

    def harmony() -> np.ndarray:
        return harmonypy.compute_lisi(x, table, ["batch"], PERPLEXITY)[:, 0]

    np.testing.assert_allclose(our_lisi(x, batch), harmony(), atol=1e-6)
    compare("LISI of 20,000 x 50, harmonypy", lambda: our_lisi(x, batch), harmony, n=3)


def compare_silhouettes() -> None:
    """Silhouettes of 20,000 cells against scib-metrics."""
    x, labels, batch = cells(20_000)

    def ours() -> list[float]:
        return [
            float((silhouettes(x, labels).mean() + 1) / 2),
            float(np.nanmean(batch_silhouettes(x, labels, batch))),
            float(np.nanmean(batch_silhouettes(x, labels, batch, metric="cosine", other="mean"))),
        ]

    def theirs() -> list[float]:
        return [
            float(scib_metrics.silhouette_label(x, labels)),
            float(scib_metrics.silhouette_batch(x, labels, batch)),
            float(scib_metrics.bras(x, labels, batch)),
        ]

    np.testing.assert_allclose(ours(), theirs(), atol=1e-5)  # scib-metrics computes in float32
    compare(
        "silhouette by label, 20,000 x 50, scib-metrics",
        lambda: silhouettes(x, labels),
        lambda: scib_metrics.silhouette_label(x, labels),
        n=3,
    )
    compare("silhouettes by label, by batch, and BRAS", ours, theirs, n=3)


def where_to_cross_over() -> None:
    """Exact against approximate search."""
    for n in (50_000, 100_000, 200_000):
        x, _, _ = cells(n)
        exact = seconds(lambda x=x: search(x, 90))
        approximate = seconds(lambda x=x: search(x, 90, "approximate"))
        print(f"{n} x 50, 90 neighbours: exact {exact:.1f} s, approximate {approximate:.1f} s")


if __name__ == "__main__":
    compare_silhouettes()
    compare_lisi()
    where_to_cross_over()
