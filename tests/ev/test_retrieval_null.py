"""P-values of mean average precision: exact where known, calibrated, and those of copairs."""

from __future__ import annotations

from itertools import product

import numba
import numpy as np
import pytest
from scipy import stats
from tests.ev import copairs_peer
from tests.ev.test_average_precision import CONTROL, against_controls, of_labels

from pertscope.ev import _retrieval_null
from pertscope.ev._average_precision import Retrieval, average_precision, group_means
from pertscope.ev._retrieval_null import p_values
from pertscope.ev._retrieval_null_kernels import binomial


def found(values, n_negatives, n_positives=None):
    """One group whose members retrieved this."""
    n = len(values)
    queries = of_labels(np.array(["a"] * n))
    n_positives = np.full(n, n - 1) if n_positives is None else n_positives
    return queries, Retrieval(np.array(values, float), n_positives, np.array(n_negatives))


def simulated(n, n_negatives, n_draws, seed=0):
    """Means of groups whose pairs have random similarities, ranked one by one."""
    rng = np.random.default_rng(seed)
    means = np.empty(n_draws)
    for draw in range(n_draws):
        between = rng.random((n, n))
        between = np.triu(between, 1) + np.triu(between, 1).T
        values = []
        for i in range(n):
            positive = np.delete(between[i], i)
            every = np.append(positive, rng.random(n_negatives[i]))
            hits = np.argsort(-every) < n - 1
            values.append((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())
        means[draw] = np.mean(values)
    return means


@pytest.mark.parametrize("n_negatives", [[7, 5], [6, 6, 9], [20] * 5])
def test_null_is_that_of_shared_similarities(n_negatives) -> None:
    means = simulated(len(n_negatives), n_negatives, 4000)
    for quantile in (0.3, 0.8, 0.98):
        level = np.quantile(means, quantile)
        queries, retrieval = found([level] * len(n_negatives), n_negatives)
        p = p_values(queries, retrieval, n_null=20_000)[0]
        expected = np.mean(means >= level - 1e-9)
        assert abs(p - expected) < 4 * np.sqrt(expected * (1 - expected) / 4000) + 0.005


def test_pairs_are_exact(monkeypatch) -> None:
    queries, retrieval = found([1, 1 / 2], [4, 6])
    exact = p_values(queries, retrieval, n_null=1)[0]
    monkeypatch.setattr(_retrieval_null, "MAX_OUTCOMES", 0)
    drawn = p_values(queries, retrieval, n_null=200_000)[0]
    assert exact == pytest.approx(drawn, abs=4 * np.sqrt(exact / 200_000))
    perfect = found([1, 1], [4, 6])
    # the one similarity is the largest of all eleven
    monkeypatch.undo()
    assert p_values(*perfect)[0] == pytest.approx(1 / 11)


def test_independent_is_enumerated(monkeypatch) -> None:
    queries, retrieval = found([1 / 2, 1 / 3], [3, 5])
    outcomes = [(1 / i + 1 / j) / 2 for i, j in product(range(1, 5), range(1, 7))]
    expected = np.mean(np.array(outcomes) >= (1 / 2 + 1 / 3) / 2 - 1e-9)
    assert p_values(queries, retrieval, null="independent")[0] == pytest.approx(expected)
    monkeypatch.setattr(_retrieval_null, "MAX_OUTCOMES", 0)
    drawn = p_values(queries, retrieval, null="independent", n_null=100_000)[0]
    assert drawn == pytest.approx(expected, abs=0.01)


@numba.njit
def counts(n, p, size, log_factorial):
    drawn = np.empty(size, np.int64)
    i = 1
    for draw in range(size):
        drawn[draw], i = binomial(n, p, np.uint64(7), i, log_factorial)
    return drawn


@pytest.mark.parametrize(
    ("n", "p"), [(5, 0.3), (64, 0.02), (64, 0.9), (25, 0.4), (300, 0.3), (2000, 0.004), (2000, 0.8)]
)
def test_binomial_counts(n, p) -> None:
    drawn = counts(n, p, 100_000, np.append(0, np.cumsum(np.log(np.arange(1, n + 1)))))
    expected = stats.binom.pmf(np.arange(n + 1), n, p) * len(drawn)
    often = expected > 10
    found = np.bincount(drawn, minlength=n + 1)
    assert found.sum() == len(drawn)
    chi_square = np.sum((found - expected)[often] ** 2 / expected[often])
    assert stats.chi2.sf(chi_square, often.sum() - 1) > 1e-4


def test_binomial_edges() -> None:
    for n, p, expected in ((0, 0.5, 0), (9, 0.0, 0), (9, 1.0, 9), (9, 1e-300, 0)):
        assert (counts(n, p, 20, np.zeros(10)) == expected).all()


def noise(n_groups, n, n_negatives, seed):
    """P-values of groups in data without signal, each with controls of its own."""
    rng = np.random.default_rng(seed)
    size = n + n_negatives
    x = rng.normal(size=(n_groups * size, 40))
    labels = np.tile([""] * n + [CONTROL] * n_negatives, n_groups).astype("U8")
    batch = np.repeat(np.arange(n_groups), size)
    perturbed = labels != CONTROL
    labels[perturbed] = np.char.mod("p%05d", batch[perturbed])
    queries = of_labels(labels)
    asked = batch[queries.members]
    rows = [
        (np.flatnonzero(asked == b), np.flatnonzero((batch == b) & ~perturbed))
        for b in range(n_groups)
    ]
    return queries, average_precision(x, queries, rows)


@pytest.mark.parametrize("n", [3, 6])
def test_p_values_are_uniform_without_signal(n) -> None:
    queries, retrieval = noise(800, n, 30, seed=n)
    p = {
        null: p_values(queries, retrieval, null=null, n_null=20_000)
        for null in ("shared", "independent")
    }
    p["copairs"] = p_values(queries, retrieval, compat="copairs", n_null=20_000)
    distance = {null: stats.kstest(values, "uniform").statistic for null, values in p.items()}
    bound = stats.kstwo.isf(0.001, 800)
    assert distance["shared"] < bound
    # which the other two fail, one on each side
    assert distance["independent"] > bound
    assert np.mean(p["independent"] <= 0.05) > 0.07
    assert distance["copairs"] > bound
    assert np.mean(p["copairs"] <= 0.05) < 0.03


def test_copairs(tmp_path, rng) -> None:
    labels = np.array([CONTROL] * 25 + [name for name in "abdefgh" for _ in range(4)])
    batch = np.arange(len(labels)) % 2
    x = rng.normal(size=(len(labels), 8)) + 0.5 * (labels == "a")[:, None]
    value, n_positives, n_negatives = against_controls(x, labels, batch)
    queries = of_labels(labels)
    rows = queries.members
    retrieval = Retrieval(value[rows], n_positives[rows].astype(int), n_negatives[rows].astype(int))
    peer = copairs_peer.activity(x, labels, batch, control=CONTROL)
    table = copairs_peer.means(peer, "perturbation", tmp_path, null_size=20_000, seed=0)
    mean = group_means(queries, retrieval.value)
    np.testing.assert_allclose(mean, table["mean_average_precision"], atol=1e-6)
    p, expected = p_values(queries, retrieval, compat="copairs", n_null=20_000), table["p_value"]
    error = np.sqrt(2 * expected * (1 - expected) / 20_000)
    assert (np.abs(p - expected) < 4.5 * error + 1e-4).all()
    assert (expected < 0.5).any()


def test_same_seed_same_bytes(rng) -> None:
    labels = np.array([CONTROL] * 12 + list("aaaabbbdddd"))
    queries = of_labels(labels)
    candidates = [(np.arange(11), np.arange(12))]
    retrieval = average_precision(rng.normal(size=(23, 4)), queries, candidates)
    first = p_values(queries, retrieval, n_null=3000, seed=3)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        again = p_values(queries, retrieval, n_null=3000, seed=3)
    finally:
        numba.set_num_threads(before)
    assert first.tobytes() == again.tobytes()
    assert (p_values(queries, retrieval, n_null=3000, seed=4) != first).any()
    few = Retrieval(retrieval.value[:4], retrieval.n_positives[:4], retrieval.n_negatives[:4])
    alone = of_labels(np.array([CONTROL] * 12 + list("aaaa")))
    assert p_values(alone, few, n_null=3000, seed=3)[0] == first[0]


def test_bad_options() -> None:
    for options, match in (
        ({"null": "none"}, "`null`='none' must be one of 'shared'"),
        ({"compat": "scib"}, "`compat`='scib' must be one of"),
        ({"n_null": 0}, "`n_null`=0 must be at least 1"),
    ):
        with pytest.raises(ValueError, match=match):
            p_values(*found([1, 1], [3, 3]), **options)
