"""Mean unit vectors of groups of cells drawn without replacement."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def draw_sums(unit, pool, n_drawn, uniform, sums):
    """Add the sum of `n_drawn` rows of `unit`, drawn from `pool` without replacement, to each draw.

    `unit` ``(cells, d)``; `pool` int64 ``(m,)`` of rows, which is shuffled; `uniform`
    ``(draws, n_drawn)`` in [0, 1); `sums` float64 ``(draws, d)``.
    """
    m = len(pool)
    d = unit.shape[1]
    for draw in range(len(uniform)):
        for i in range(n_drawn):
            j = i + int(uniform[draw, i] * (m - i))
            row = pool[j]
            pool[j] = pool[i]
            pool[i] = row
            for c in range(d):
                sums[draw, c] += np.float64(unit[row, c])
