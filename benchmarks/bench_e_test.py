"""Permutation E-test of all perturbations: time and peak memory, and against plain NumPy.

1,000 permutations of 1,000 perturbations x 100 cells and 10,000 controls in 50 components. The
peer, on a smaller screen, permutes labels and takes means of blocks of the distance matrix of
perturbation and controls, as scPerturb and pertpy do. Those keep these matrices of all
perturbations; what that would need is printed. Run with ``python benchmarks/bench_e_test.py``.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from _timing import compare, peak_memory, seconds
from scipy.spatial.distance import cdist

from pertscope.ev._permutation_test import e_test

N_COMPONENTS = 50


def screen(n_groups: int, n_cells: int, n_controls: int) -> tuple[np.ndarray, list, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n_controls + n_groups * n_cells, N_COMPONENTS)).astype(np.float32)
    rows = np.arange(n_controls, len(x)).reshape(n_groups, n_cells)
    x[rows[: n_groups // 2]] += 0.1
    return x, list(rows), np.arange(n_controls)


def by_matrix(
    x: np.ndarray, groups: list, reference: np.ndarray, *, n_permutations: int, metric: str
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)

    def energy(d: np.ndarray, here: np.ndarray) -> float:
        a, b = d[here], d[~here]
        return 2 * a[:, ~here].mean() - a[:, here].mean() - b[:, ~here].mean()

    statistic, p = np.empty((2, len(groups)))
    for g, group in enumerate(groups):
        cells = x[np.concatenate([group, reference])].astype(np.float64)
        d = cdist(cells, cells, metric)
        here = np.arange(len(cells)) < len(group)
        statistic[g] = energy(d, here)
        permuted = [energy(d, rng.permutation(here)) for _ in range(n_permutations)]
        p[g] = (1 + np.sum(np.array(permuted) >= statistic[g])) / (1 + n_permutations)
    return statistic, p


def main() -> None:
    """Print time and memory of the large screen, then compare on the small one."""
    small, large = screen(4, 100, 1_000), screen(1_000, 100, 10_000)
    matrices = 1_000 * 8 * (10_000 + 100) ** 2 / 2**30
    for metric in ("sqeuclidean", "euclidean"):
        e_test(*small, metric=metric, n_permutations=1)  # compile
        time = seconds(partial(e_test, *large, metric=metric))
        print(
            f"{metric}: 1,000 permutations of 1,000 perturbations in {time:.1f} s; peak of the "
            f"process so far {peak_memory():.2f} GiB (matrices of all: {matrices:.0f} GiB)"
        )
    for metric in ("sqeuclidean", "euclidean"):
        ours = partial(e_test, *small, metric=metric, n_permutations=200)
        peer = partial(by_matrix, *small, metric=metric, n_permutations=200)
        (statistic, p), (expected, p_peer) = ours(), peer()
        np.testing.assert_allclose(statistic, expected, rtol=1e-5)
        np.testing.assert_allclose(p, p_peer, atol=0.15)  # other permutations
        compare(f"{metric}, 4 perturbations x 100 cells, 1,000 controls", ours, peer, n=2)


if __name__ == "__main__":
    main()
