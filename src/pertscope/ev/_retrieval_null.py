"""Mean average precision of groups whose positives rank at random."""

from __future__ import annotations

import hashlib
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

import numpy as np

from pertscope._core.messages import listed

if TYPE_CHECKING:
    from pertscope.ev._average_precision import Queries, Retrieval

NULLS = ("shared", "independent")
CONVENTIONS = (None, "copairs")
MAX_OUTCOMES = 2**18
"""Groups with no more outcomes than this have exact p-values."""

ROUNDING = 1e-9
"""Mean average precisions closer than this are the same."""


def p_values(
    queries: Queries,
    retrieval: Retrieval,
    *,
    null: str = "shared",
    n_null: int = 100_000,
    compat: str | None = None,
    seed: int = 0,
) -> np.ndarray:
    """P-value of the mean average precision of each group, float64 ``(groups,)``.

    Under the null the similarities of all pairs are exchangeable. Two members of a group rank each
    other by the same similarity, so their average precisions depend on each other, and the mean of
    a group varies more than that of independent queries would. ``"shared"`` draws one similarity
    for each pair of members; ``"independent"`` one for each member of the pair, which finds
    about twice as many groups below 0.05 as there should be. The similarities of negatives are
    integrated out: those above a positive are binomial.

    ``p = (1 + #{null >= observed}) / (1 + n_null)``; where the outcomes of a group are few,
    their exact probability.

    Parameters
    ----------
    queries, retrieval
        Groups, and what their members retrieved. Queries without a positive are left out.
    null
        ``"shared"`` or ``"independent"``.
    n_null
        Draws.
    compat
        ``"copairs"``: one average precision is drawn for each pair of numbers of positives and
        negatives, the same for all queries of a group that have these, and ties with the observed
        mean do not count. Conservative.
    seed
        What is drawn for a group depends on the numbers of its positives and negatives and on
        `seed`: not on other groups, nor on the number of threads.

    Returns
    -------
    P-values; NaN for a group without queries.

    Raises
    ------
    ValueError
        If an option is unknown or `n_null` below 1.
    """
    for name, value, known in (("null", null, NULLS), ("compat", compat, CONVENTIONS)):
        if value not in known:
            raise ValueError(f"`{name}`={value!r} must be one of {listed(known)}.")
    if n_null < 1:
        raise ValueError(f"`n_null`={n_null} must be at least 1.")
    found = np.full(len(queries.start) - 1, np.nan)
    alike: dict[bytes, tuple[np.ndarray, np.ndarray, list[tuple[int, float]]]] = {}
    for g, (begin, end) in enumerate(zip(queries.start[:-1], queries.start[1:], strict=True)):
        asked = np.arange(begin, end)[retrieval.n_positives[begin:end] > 0]
        if len(asked) == 0:
            continue
        order = np.lexsort((retrieval.n_negatives[asked], retrieval.n_positives[asked]))
        asked = asked[order]
        pairs, n_negatives = _pairs(queries, asked), retrieval.n_negatives[asked]
        key = hashlib.sha256(pairs.tobytes() + n_negatives.tobytes()).digest()
        entry = alike.setdefault(key, (pairs, n_negatives, []))
        entry[2].append((g, float(retrieval.value[asked].mean())))
    for key, (pairs, n_negatives, groups) in alike.items():
        numbers, observed = [g for g, _ in groups], np.array([value for _, value in groups])
        words = (seed, *np.frombuffer(key, np.uint32))
        found[numbers] = _p_values(pairs, n_negatives, observed, compat or null, n_null, words)
    return found


def _pairs(queries: Queries, asked: np.ndarray) -> np.ndarray:
    """Pairs of members that are each other's positives, int32 ``(2, pairs)``."""
    rows = queries.members[asked]
    first, second = np.triu_indices(len(rows), 1)
    usable = (queries.different[rows[first]] != queries.different[rows[second]]).all(axis=1)
    return np.stack([first[usable], second[usable]]).astype(np.int32)


def _p_values(
    pairs: np.ndarray,
    n_negatives: np.ndarray,
    observed: np.ndarray,
    null: str,
    n_null: int,
    words: tuple[int, ...],
) -> np.ndarray:
    """P-values of groups with the same pairs and numbers of negatives."""
    from pertscope.ev import _retrieval_null_kernels as kernels

    exact = _all_outcomes(pairs, n_negatives, null)
    if exact is not None:
        mean, share = exact
        reached = [share[mean >= value - ROUNDING].sum() for value in observed]
        return np.minimum(reached, 1.0)
    how = _drawing(pairs, n_negatives, null)
    log_factorial = np.append(0, np.cumsum(np.log(np.arange(1, n_negatives.max() + 1))))
    key = np.random.SeedSequence(words).generate_state(1, np.uint64)[0]
    drawn = np.sort(kernels.random_means(*how, log_factorial, key, n_null))
    threshold = observed + (ROUNDING if null == "copairs" else -ROUNDING)
    return (1 + n_null - np.searchsorted(drawn, threshold)) / (1 + n_null)


def _drawing(
    pairs: np.ndarray, n_negatives: np.ndarray, null: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """Numbers of each query's pairs, int64 ``(queries, most)``, positives, negatives, weights.

    Two queries have a number in common only where they share a similarity.
    """
    n_positives, n = _n_positives(pairs, n_negatives), len(n_negatives)
    weight, n_pairs = np.full(n, 1 / n), pairs.shape[1]
    if null == "copairs":
        kinds, counts = np.unique([n_positives, n_negatives], axis=1, return_counts=True)
        (n_positives, n_negatives), weight = kinds, counts / n
    number = np.zeros((len(n_positives), n_positives.max()), np.int64)
    if null == "shared":
        for query, m in enumerate(n_positives):
            number[query, :m] = np.flatnonzero((pairs == query).any(axis=0))
    else:
        n_pairs = int(n_positives.sum())
        filled = np.arange(number.shape[1]) < n_positives[:, None]
        number[filled] = np.arange(n_pairs)
    return number, n_positives, n_negatives, weight, n_pairs


def _n_positives(pairs: np.ndarray, n_negatives: np.ndarray) -> np.ndarray:
    return np.bincount(pairs.ravel(), minlength=len(n_negatives))


def _all_outcomes(
    pairs: np.ndarray, n_negatives: np.ndarray, null: str
) -> tuple[np.ndarray, np.ndarray] | None:
    """Every mean average precision of a group, and its probability; ``None`` for too many."""
    if null == "shared" and pairs.shape[1] == 1 and np.prod(n_negatives + 1) <= MAX_OUTCOMES:
        return _outcomes_of_a_pair(*n_negatives)
    kinds = list(zip(_n_positives(pairs, n_negatives), n_negatives.tolist(), strict=True))
    n_outcomes = 1
    for m, negatives in kinds:
        n_outcomes *= comb(m + negatives, m)
        if null != "independent" or n_outcomes > MAX_OUTCOMES:
            return None
    total = np.zeros(1)
    for m, negatives in kinds:
        ranks = np.array(list(combinations(range(1, m + negatives + 1), m)))
        total = np.add.outer(total, (np.arange(1, m + 1) / ranks).mean(axis=1)).ravel()
    return total / len(kinds), np.full(len(total), 1 / len(total))


def _outcomes_of_a_pair(a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
    """Two profiles with one similarity to each other, and `a` and `b` negatives.

    If i of the first's negatives are above it and j of the second's, the probability is
    ``C(a, i) C(b, j) B(i + j + 1, a + b - i - j + 1)``, the similarity being integrated out.
    """
    from scipy.special import betaln, gammaln

    def log_choose(n: int, k: np.ndarray) -> np.ndarray:
        return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)

    i, j, both = np.arange(a + 1)[:, None], np.arange(b + 1), np.arange(a + b + 1)
    log_beta = betaln(both + 1, a + b - both + 1)
    log_share = log_choose(a, i) + log_choose(b, j) + log_beta[i + j]
    mean = (1 / (1 + i) + 1 / (1 + j)) / 2
    return mean.ravel(), np.exp(log_share).ravel()
