"""Are scores, p-values, ceilings and intervals what they say? Simulations of known truth.

Prints what was expected and what was found, with its sampling error. Run with
``python benchmarks/calibration.py``; half a minute.
"""

from __future__ import annotations

import time

import anndata as ad
import numpy as np
import pandas as pd
from scipy import stats

import pertscope as ps
from pertscope._core.bootstrap import bootstrap_interval
from pertscope._core.distances import PAIRWISE
from pertscope.ev._permutation_test import e_test
from pertscope.ev._ranks import ranks

N_GENES = 50


def screen(rng: np.random.Generator, mean: np.ndarray, n_cells: int) -> ad.AnnData:
    """Gaussian cells of conditions, and of controls around 0; registered."""
    x = rng.normal(0, 1, ((1 + len(mean)) * n_cells, mean.shape[1]))
    x += np.repeat(np.vstack([np.zeros(mean.shape[1]), mean]), n_cells, axis=0)
    labels = np.repeat(["control", *(f"p{i:03d}" for i in range(len(mean)))], n_cells)
    obs = pd.DataFrame({"perturbation": labels}, index=[f"c{i}" for i in range(len(labels))])
    adata = ad.AnnData(x, obs=obs)
    ps.pp.register(adata)
    return adata


def perturbed(adata: ad.AnnData) -> ad.AnnData:
    """Perturbed cells, to be a prediction."""
    cells = adata[(adata.obs["perturbation"] != "control").to_numpy()].copy()
    cells.uns.clear()
    return cells


def random_ranks(n_draws: int = 200, n_conditions: int = 20, seed: int = 0) -> None:
    """(a) A prediction that knows nothing ranks in the middle."""
    rng = np.random.default_rng(seed)
    for name, distance in PAIRWISE.items():
        found = []
        for _ in range(n_draws):
            predicted, observed = rng.normal(0, 1, (2, n_conditions, N_GENES))
            found.append([r.mean() for r in ranks(distance(predicted, observed))])
        mean = np.mean(found, axis=0)
        error = np.std(found, axis=0, ddof=1) / np.sqrt(n_draws)
        z = (mean - 0.5) / error
        print(
            f"  {name:8s} rank {mean[0]:.4f} +- {error[0]:.4f} (z {z[0]:+.1f}), "
            f"transposed {mean[1]:.4f} +- {error[1]:.4f} (z {z[1]:+.1f})"
        )


def null_p_values(n_groups: int = 2000, n_permutations: int = 999, seed: int = 0) -> None:
    """(b) p-values of groups that do not differ from the reference are uniform."""
    rng = np.random.default_rng(seed)
    for metric in ("sqeuclidean", "euclidean"):
        for n, m in ((20, 60), (60, 20)):
            found = []
            for g in range(n_groups):  # a reference of its own for each: independent p-values
                x = rng.normal(0, 1, (n + m, 5))
                rows = np.arange(n + m)
                _, p = e_test(
                    x,
                    [rows[:n]],
                    rows[n:],
                    n_permutations=n_permutations,
                    metric=metric,
                    seed=g,
                )
                found.append(p[0])
            ks = stats.kstest(found, "uniform")
            below = np.mean(np.array(found) <= 0.05)
            print(
                f"  E-test, {metric}, {n} cells against {m}: KS {ks.statistic:.3f} "
                f"(p {ks.pvalue:.2f}), share of p <= 0.05: {below:.3f} "
                f"+- {np.sqrt(0.05 * 0.95 / n_groups):.3f}"
            )


METRICS = ("rmse_effect", "mse_effect", "pearson_effect", "rmse_rank_effect", "deg_f1_t-test")


def halves_at_the_ceiling(n_screens: int = 20, seed: int = 0) -> None:
    """(c) A replicate used as a prediction scores at the ceiling.

    The screen holds half B, and the prediction is half A with controls of its own: the score of the
    pair against the split-half ceiling of A and B together, before its law of whole depth; and the
    score of a whole second experiment against the ceiling itself.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n_screens):
        mean = rng.normal(0, 0.3, (15, N_GENES))
        first, second = (screen(rng, mean, 60) for _ in range(2))
        row = {"ceiling": ceiling_of(first)}
        row["whole replicate"] = score_of(second, first)
        a = np.arange(first.n_obs) % 2 == 0
        row["half against half"] = score_of(first[a].copy(), first[~a].copy())
        row["ceiling of a half"] = ceiling_of(first[~a].copy())
        found.append(pd.DataFrame(row))
    by_metric = pd.concat(found).groupby(level=0)
    mean, error = by_metric.mean(), by_metric.std() / np.sqrt(n_screens)
    for name in METRICS:
        m, e = mean.loc[name], error.loc[name]
        print(
            f"  {name:17s} replicate {m['whole replicate']:.4f} +- {e['whole replicate']:.4f}, "
            f"ceiling {m['ceiling']:.4f} +- {e['ceiling']:.4f}; "
            f"half against half {m['half against half']:.4f} +- {e['half against half']:.4f}, "
            f"ceiling of half {m['ceiling of a half']:.4f} +- {e['ceiling of a half']:.4f}"
        )


def score_of(replicate: ad.AnnData, observed: ad.AnnData) -> pd.Series:
    """Scores of one experiment as the prediction of another."""
    cells = replicate.copy()
    cells.uns.clear()
    ps.pp.add_prediction(observed, cells, "replicate")
    ps.ev.evaluate(
        observed,
        metrics=METRICS,
        control="own",
        floor=False,
        ceiling=False,
        split=None,
        key_added="scores",
    )
    return ps.get.scores(observed)["mean"].loc["replicate"]


def ceiling_of(adata: ad.AnnData) -> pd.Series:
    """Mean ceiling over conditions."""
    ps.ev.ceiling(adata, metrics=METRICS, n_outer=5)
    table = adata.uns["ceiling"].query("quantile == 0.5")
    names = table["metric"].astype(str) + "_" + table["statistic"].astype(str)
    return table.groupby(names.to_numpy())["value"].mean()


def coverage(n_screens: int = 1000, seed: int = 0) -> None:
    """(d) The interval of a mean over conditions holds the true mean as often as it says.

    Conditions are drawn anew for each screen; the score is the error of a prediction of each, which
    is skewed. The interval is that of ``ps.get.scores``.
    """
    rng = np.random.default_rng(seed)

    def scores(n: int) -> np.ndarray:
        scale = rng.gamma(2.0, 0.5, (n, 1))  # some perturbations are hard to predict
        return np.sqrt(np.mean((scale * rng.normal(0, 1, (n, N_GENES))) ** 2, axis=1))

    truth = scores(200_000).mean()
    for n in (10, 30, 100):
        ends = np.array(
            [bootstrap_interval(scores(n), confidence=0.95, seed=s)[1:3] for s in range(n_screens)]
        )
        held = np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1]))
        error = np.sqrt(held * (1 - held) / n_screens)
        width = np.diff(ends, axis=1).mean()
        print(f"  {n:3d} conditions: {held:.3f} +- {error:.3f} of 0.95, mean width {width:.3f}")


def through_scores(n_conditions: int = 10, seed: int = 0) -> None:
    """The interval of (d) is the one that ``ps.get.scores`` prints."""
    rng = np.random.default_rng(seed)
    adata = screen(rng, rng.normal(0, 0.3, (n_conditions, N_GENES)), 20)
    ps.pp.add_prediction(adata, perturbed(screen(rng, np.zeros((n_conditions, N_GENES)), 5)), "p")
    ps.ev.error_metrics(adata, statistics=["effect"], metrics=["rmse"], split=None)
    table = ps.get.scores(adata).loc["p"].xs("rmse_effect", level=1)
    want = bootstrap_interval(adata.uns["error_metrics"]["value"].to_numpy())
    np.testing.assert_array_equal(table[["mean", "ci_low", "ci_high", "n_conditions"]], want)


def main() -> None:
    """Run all four."""
    through_scores()
    for title, run in (
        ("(a) random predictions, 200 draws of 20 conditions: rank 0.5", random_ranks),
        ("(b) p-values under the null: uniform", null_p_values),
        ("(c) a replicate scores at the ceiling, 20 screens", halves_at_the_ceiling),
        ("(d) coverage of 95 % intervals over conditions, 1,000 screens", coverage),
    ):
        start = time.perf_counter()
        print(title)
        run()
        print(f"  {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
