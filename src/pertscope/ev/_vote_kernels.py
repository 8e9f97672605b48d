"""Votes of neighbours."""

from __future__ import annotations

import numba
import numpy as np

PER_TASK = 256
"""Queries that share a thread's scratch memory."""


@numba.njit(cache=True, parallel=True)
def rank_votes(labels, weights, n_labels, n_top):
    """Labels with the most votes of each query, best first, int64 ``(queries, n_top)``; -1 if none.

    `labels` int64 and `weights` float64 ``(queries, k)``, nearest neighbour first. Of labels with
    equal votes the one with the nearer neighbour comes first.
    """
    n, k = labels.shape
    ranked = np.full((n, n_top), -1, np.int64)
    for task in numba.prange((n + PER_TASK - 1) // PER_TASK):
        votes = np.zeros(n_labels)
        seen = np.empty(k, np.int64)  # in the order of their nearest neighbours
        known = np.zeros(n_labels, np.bool_)
        for q in range(task * PER_TASK, min(n, (task + 1) * PER_TASK)):
            n_seen = 0
            for i in range(k):
                label = labels[q, i]
                if not known[label]:
                    known[label] = True
                    seen[n_seen] = label
                    n_seen += 1
                votes[label] += weights[q, i]
            for place in range(min(n_top, n_seen)):
                best = -1
                for i in range(n_seen):
                    label = seen[i]
                    if known[label] and (best < 0 or votes[label] > votes[best]):
                        best = label
                ranked[q, place] = best
                known[best] = False
            for i in range(n_seen):
                known[seen[i]] = False
                votes[seen[i]] = 0.0
    return ranked
