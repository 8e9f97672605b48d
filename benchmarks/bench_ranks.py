"""Rank metrics of 2,000 conditions x 5,000 genes, against the paper's formula in plain NumPy.

The plain loop runs over 100 of the conditions and is scaled up. Run with
``python benchmarks/bench_ranks.py``.
"""

from __future__ import annotations

import numpy as np
from _timing import seconds

from pertscope._core.distances import PAIRWISE
from pertscope.ev._ranks import ranks

N, G, N_PLAIN = 2_000, 5_000, 100


def plain_rank(predicted: np.ndarray, observed: np.ndarray, i: int) -> float:
    """Equation 2 for condition i."""
    d = np.sqrt(np.mean((predicted - observed[i]) ** 2, axis=1))
    return (np.count_nonzero(d <= d[i]) - 1) / (len(d) - 1)


def main() -> None:
    """Check that ranks are equal, then time them."""
    rng = np.random.default_rng(0)
    observed = rng.gamma(1.0, 1.0, (N, G))
    predicted = observed + rng.normal(0, 8.0, (N, G))
    plain: list[float] = []
    loop = seconds(lambda: plain.extend(plain_rank(predicted, observed, i) for i in range(N_PLAIN)))
    for name in ("rmse", "cosine"):
        found: list[np.ndarray] = []
        time = seconds(lambda: found.extend(ranks(PAIRWISE[name](predicted, observed))))  # noqa: B023
        print(f"{name} rank and transposed rank of {N:,} conditions x {G:,} genes: {time:.2f} s")
        if name == "rmse":
            np.testing.assert_allclose(found[0][:N_PLAIN], plain, atol=1e-3)
            peer = loop * N / N_PLAIN
            print(f"  plain NumPy, rank alone: {peer:.1f} s, {peer / time:.0f} x")


if __name__ == "__main__":
    main()
