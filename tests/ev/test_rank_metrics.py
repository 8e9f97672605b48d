from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from tests.ev.judged import (
    as_prediction,
    observed_means,
    random_means,
    screen,
    statistic_of,
    values,
    with_random,
)
from tests.ev.test_ranks import CDIST, by_the_paper
from tests.helpers import fingerprint, refused

import pertscope as ps

STATISTICS = ("mean", "effect", "logfc")
EVERY = [(d, s) for d in CDIST for s in STATISTICS]


def by_hand(adata, distance: str, statistic: str, ties: str) -> tuple[pd.Series, pd.Series]:
    """Ranks and transposed ranks of the random prediction, within each cell type."""
    predicted = random_means(adata)
    observed = observed_means(adata).loc[predicted.index]
    p, o = (statistic_of(adata, m, statistic) for m in (predicted, observed))
    result = pd.DataFrame(np.nan, index=p.index, columns=["rank", "transposed"])
    for context in ("x", "y"):
        d = CDIST[distance](p.loc[context].to_numpy(), o.loc[context].to_numpy())
        result.loc[context] = np.column_stack(by_the_paper(d, ties))
    return result["rank"], result["transposed"]


@pytest.mark.parametrize("ties", ["expected", "worst"])
def test_against_the_paper(ties) -> None:
    adata = with_random(screen())
    ps.ev.rank_metrics(adata, distances=EVERY, ties=ties)
    assert adata.uns["rank_metrics"]["value"].between(0, 1).all()
    for distance, statistic in EVERY:
        for metric, want in zip(
            ("rank", "transposed_rank"), by_hand(adata, distance, statistic, ties), strict=True
        ):
            got = values(adata, "rank_metrics", f"{distance}_{metric}", statistic)
            np.testing.assert_allclose(got, want[got.index], err_msg=f"{distance} {statistic}")
            assert np.ptp(got) > 0


def test_defaults_and_table() -> None:
    adata = with_random(screen(), second=1, first=0)
    before = fingerprint([adata.X, adata.obs, adata.var])
    ps.ev.rank_metrics(adata)
    assert fingerprint([adata.X, adata.obs, adata.var]) == before
    table = adata.uns["rank_metrics"]
    pairs = table[["metric", "statistic"]].astype(str).drop_duplicates().to_numpy().tolist()
    assert pairs == [
        ["rmse_rank", "mean"],
        ["rmse_transposed_rank", "mean"],
        ["cosine_rank", "logfc"],
        ["cosine_transposed_rank", "logfc"],
    ]
    assert len(table) == 2 * 12 * 4
    assert table["prediction"].cat.categories.tolist() == ["second", "first"]


@pytest.mark.parametrize("wrong", ["perfect", "reversed"])
def test_perfect_and_swapped(wrong) -> None:
    """Of two perturbations per cell type, each is itself, or the other one."""
    adata = screen(("A", "B"))
    means = observed_means(adata).drop("control", level=1)
    if wrong == "reversed":
        means.index = means.index.map(lambda i: (i[0], {"A": "B", "B": "A"}[i[1]]))
    ps.pp.add_prediction(adata, as_prediction(adata, means), "random")
    ps.ev.rank_metrics(adata, distances=EVERY)
    assert (adata.uns["rank_metrics"]["value"] == (wrong == "reversed")).all()


def test_perturbench() -> None:
    adata = with_random(screen())
    ps.ev.rank_metrics(adata)
    plain = adata.uns["rank_metrics"]
    ps.ev.rank_metrics(adata, compat="perturbench")
    pd.testing.assert_frame_equal(adata.uns["rank_metrics"], plain)
    ps.ev.rank_metrics(adata, compat="perturbench-v1")  # divides by p = 6
    np.testing.assert_allclose(adata.uns["rank_metrics"]["value"], plain["value"] * 5 / 6)


def test_alone_in_its_context() -> None:
    adata = screen({"x": ["A", "B"], "y": ["C"]})
    with_random(adata)
    with pytest.warns(UserWarning, match=r"1 condition\(s\) cannot be ranked, .*: 'y\|C'"):
        ps.ev.rank_metrics(adata)
    got = values(adata, "rank_metrics", "rmse_rank", "mean")
    assert got.isna().tolist() == [False, False, True]
    scores = ps.get.scores(adata)
    assert (scores["n_conditions"] == 2).all(axis=None)
    assert scores["mean"].loc["random", "rmse_rank_mean"] == got.mean()


def test_duplicates_share_their_rank() -> None:
    """Two predictions that are the same tie with each other, whichever comes first."""
    adata = screen(("A", "B", "C"), contexts=("x",))
    means = observed_means(adata).drop("control", level=1)
    means.loc[("x", "B")] = means.loc[("x", "A")]
    ps.pp.add_prediction(adata, as_prediction(adata, means), "random")
    for ties, want in (("expected", 0.25), ("worst", 0.5)):
        ps.ev.rank_metrics(adata, distances=[("rmse", "mean")], ties=ties)
        got = values(adata, "rank_metrics", "rmse_rank", "mean")
        assert got.loc[("x", "A")] == want
        assert got.loc[("x", "C")] == 0


@pytest.mark.parametrize(
    "change", ["rows", "genes", "cells", "screen rows", "screen labels", "controls"]
)
def test_what_must_not_matter(change) -> None:
    """Order of rows and genes, cells in place of means, predicted controls, sparse or dense."""
    adata = with_random(screen())
    for judge in (ps.ev.rank_metrics, ps.ev.error_metrics):
        judge(adata)
    other = screen()
    prediction = as_prediction(other, random_means(other))
    rng = np.random.default_rng(5)
    if change == "rows":
        prediction = prediction[rng.permutation(prediction.n_obs)].copy()
    elif change == "genes":
        prediction = prediction[:, rng.permutation(prediction.n_vars)].copy()
    elif change == "cells":
        noise = rng.normal(0, 0.05, (10, *prediction.shape))
        x = prediction.X + noise - noise.mean(axis=0)
        obs = pd.concat([prediction.obs] * 10)
        obs.index = [f"cell{i}" for i in range(len(obs))]
        prediction = ad.AnnData(x.reshape(len(obs), -1), obs=obs, var=prediction.var)
        prediction = prediction[rng.permutation(len(obs))].copy()
    elif change == "controls":
        means = pd.concat(
            [
                random_means(other),
                observed_means(other).xs("control", level=1, drop_level=False) + 9,
            ]
        )
        prediction = as_prediction(other, means)
    elif change == "screen rows":
        other = other[rng.permutation(other.n_obs)].copy()
    else:
        labels = {"A+B": "B+A", "C+D": "D+C"}
        other.obs["perturbation"] = other.obs["perturbation"].cat.rename_categories(labels)
    ps.pp.add_prediction(other, prediction, "random")
    for judge in (ps.ev.rank_metrics, ps.ev.error_metrics):
        judge(other)
    if change == "controls":
        assert ps.get.prediction(other, "random").n_obs == 12
    got, want = (ps.get.scores(a)[["mean", "n_conditions"]] for a in (other, adata))
    pd.testing.assert_frame_equal(got, want, rtol=1e-5, atol=1e-7)


def test_missing_and_unobserved_conditions() -> None:
    adata = screen()
    means = random_means(adata).drop([("x", "A"), ("y", "C+D")])
    ps.pp.add_prediction(adata, as_prediction(adata, means), "random")
    for judge in (ps.ev.rank_metrics, ps.ev.error_metrics):
        with pytest.warns(
            UserWarning, match=r"'random' lacks 2 of 12 conditions.*'x\|A', 'y\|C\+D'"
        ):
            judge(adata)
    assert set(ps.get.scores(adata)["n_conditions"].loc["random"]) == {10}
    extra = means.iloc[:1].set_axis(pd.MultiIndex.from_tuples([("x", "never")]))
    with pytest.warns(UserWarning, match="never observed"):
        ps.pp.add_prediction(adata, as_prediction(adata, extra), "extra")
    with refused(
        adata, ValueError, "'extra' has none of the 12 conditions to judge: it has 'x|never'"
    ):
        ps.ev.rank_metrics(adata, "extra")


def test_parts_of_the_split() -> None:
    adata = with_random(screen())
    part = (
        adata.obs["perturbation"]
        .astype(str)
        .map(lambda p: {"A": "train", "B": "val"}.get(p, "test"))
    )
    adata.obs["split"] = part.to_numpy()
    for split, n in (("train", 2), ("val", 2), ("test", 8), (None, 12)):
        ps.ev.error_metrics(adata, split=split)
        assert set(ps.get.scores(adata)["n_conditions"].loc["random"]) == {n}
    assert len(adata.uns["error_metrics"]) == 12 * 12
