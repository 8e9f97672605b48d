"""Draws of batches: a batch that is drawn twice is two batches, and all replicates look alike."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from tests.ev.judged import screen
from tests.helpers import dense

import pertscope as ps
from pertscope.ev import _bounds as bounds
from pertscope.ev._comparison import Options
from pertscope.ev._judged import observe
from pertscope.ev._replicates import resample_batches


def each_draw_a_batch(adata, repeats, context: str, label: str) -> list[tuple[str, np.ndarray]]:
    """Batch and mean of the cells of each draw: a batch that was drawn k times is k batches."""
    obs, x, found = adata.obs, dense(adata.X), []
    for b in obs["batch"].cat.categories:
        of = (obs["cell_type"] == context) & (obs["perturbation"] == label) & (obs["batch"] == b)
        cells = np.flatnonzero(of.to_numpy())
        drawn = np.repeat(cells, repeats[cells])
        if len(drawn):
            parts = np.split(drawn, len(drawn) // len(cells))
            found += [(f"{b} {i}", x[part].mean(axis=0)) for i, part in enumerate(parts)]
    return found


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("size", ["large", "small"])
def test_each_draw_of_a_batch_is_a_batch(size, own) -> None:
    adata = batches_of_unequal_sizes()
    judged = observe(adata, None)
    options = Options(batch_size=size)
    n_twice = 0
    for draw in range(6):
        (pair,) = resample_batches(judged, options, draw=draw, own_controls=own, n_inner=1)
        drawn = pair.predicted.populations.repeats
        of_controls = drawn if own else np.ones_like(drawn)
        got = pair.values(pair.predicted, "ba_ate")
        for i, (context, label) in enumerate(judged.conditions.table.to_numpy()):
            cells = each_draw_a_batch(adata, drawn, context, label)
            controls = each_draw_a_batch(adata, of_controls, context, "control")
            n_twice += sum(name.endswith(" 1") for name, _ in cells)
            if size == "large":
                there = {name if own else name[:-2]: mean for name, mean in controls}
                pairs = [(m, there.get(n if own else n[:-2])) for n, m in cells]
                changes = [m - m_0 for m, m_0 in pairs if m_0 is not None]
                want = np.mean(changes, axis=0) if changes else np.full(adata.n_vars, np.nan)
            elif cells and controls:
                want = np.mean([m for _, m in cells], 0) - np.mean([m for _, m in controls], 0)
            else:
                continue
            np.testing.assert_allclose(got[i], want, atol=1e-6)
    assert n_twice


def batches_of_unequal_sizes() -> ad.AnnData:
    """Four batches of 8 : 4 : 2 : 1 cells that differ; perturbation A is not in the last two."""
    adata = screen(n_cells=40, n_controls=40)
    rng = np.random.default_rng(0)
    code = rng.choice(4, adata.n_obs, p=np.array([8, 4, 2, 1]) / 15)
    code[(adata.obs["perturbation"] == "A").to_numpy()] %= 2
    adata.obs["batch"] = pd.Categorical([f"b{c}" for c in code])
    adata.X = (dense(adata.X) + 0.3 * code[:, None]).astype(np.float32)
    ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")
    return adata


def test_batch_adjusted_errors_are_as_wide_as_batches_differ() -> None:
    """One effect per batch: the squared error of a resampled mean over B is var / B."""
    rng, n_batches = np.random.default_rng(0), 10
    labels = np.tile(["control", "A"], n_batches)
    obs = pd.DataFrame({"perturbation": labels}, index=[f"w{i}" for i in range(len(labels))])
    obs["batch"] = pd.Categorical([f"b{i // 2}" for i in range(len(labels))])
    effect = rng.normal(0, 1, (n_batches, 30))
    x = np.zeros((len(labels), 30), np.float32)
    x[1::2] = effect
    adata = ad.AnnData(x, obs=obs)
    ps.pp.register(adata, batch_key="batch")
    judged, options = observe(adata, None), Options(batch_size="large")
    error = [
        np.mean(np.square(np.subtract(*pair.pair("ba_ate"))))
        for draw in range(300)
        for pair in resample_batches(judged, options, draw=draw, own_controls=True, n_inner=1)
    ]
    assert np.mean(error) == pytest.approx(effect.var(axis=0).mean() / n_batches, rel=0.12)


def test_batches_are_large_or_small_for_every_replicate_alike(monkeypatch) -> None:
    """A part of the screen, or repeated cells, are not judged by another statistic."""
    adata = batches_of_unequal_sizes()
    adata.obs["split"] = np.where(adata.obs["perturbation"] == "A", "test", "train")
    n = adata.obs[adata.obs["perturbation"] != "control"].groupby(
        ["cell_type", "perturbation", "batch"], observed=True
    )
    of_test = n.size().loc[:, "A"].median()
    median = n.size().median()
    assert of_test > median
    settings = {"metrics": ["l2_ba_ate"], "n_outer": 6, "n_inner": 1, "split": "test"}
    for method in bounds.METHODS:
        found = {}
        for limit in (median, median + 0.5):
            monkeypatch.setattr("pertscope._core.batch_effects.LARGE_BATCH", limit)
            ps.ev.ceiling(adata, method=method, **settings)
            found[limit] = adata.uns["ceiling"]
        for size, limit in (("large", median), ("small", median + 0.5)):
            ps.ev.ceiling(adata, method=method, batch_size=size, **settings)
            pd.testing.assert_frame_equal(found[limit], adata.uns["ceiling"])
        assert not found[median].equals(found[median + 0.5])
