"""What both kinds of metrics refuse, without a trace in the screen."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
from tests.ev.judged import screen, with_random
from tests.helpers import refused

import pertscope as ps

BOTH = pytest.mark.parametrize("judge", [ps.ev.error_metrics, ps.ev.rank_metrics])


@BOTH
def test_unknown_names(judge) -> None:
    adata = with_random(screen())
    with refused(adata, KeyError, "no prediction 'randon'; nearest: 'random'"):
        judge(adata, "randon")
    with refused(adata, ValueError, "`split`='tests' must be one of .*'train', 'val', 'test'"):
        judge(adata, split="tests")
    with refused(adata, ValueError, "`compat`='perturb' must be one of .*'perturbench'"):
        judge(adata, compat="perturb")
    with refused(adata, ValueError, "`key_added`='a/b' cannot be stored"):
        judge(adata, key_added="a/b")
    with refused(adata, ValueError, "no perturbed condition lies in 'val'"):
        judge(adata, split="val")
    with refused(adata, ValueError, "there is nothing to score"):
        judge(adata, [])


def test_unknown_metrics() -> None:
    adata = with_random(screen())
    with refused(adata, ValueError, "unknown metric 'rsme'; nearest: 'rmse'"):
        ps.ev.error_metrics(adata, metrics=["mae", "rsme"])
    with refused(
        adata, ValueError, "unknown statistic.*'effects'; there are 'mean', 'effect', 'logfc'"
    ):
        ps.ev.error_metrics(adata, statistics=["mean", "effects"])
    with refused(adata, ValueError, "unknown statistic.*'lfc'"):
        ps.ev.rank_metrics(adata, distances=[("rmse", "lfc")])
    with refused(adata, ValueError, "unknown distance 'cosin'; nearest: 'cosine'"):
        ps.ev.rank_metrics(adata, distances=[("rmse", "mean"), ("cosin", "mean")])
    with refused(adata, ValueError, "`ties`='best' must be one of .*'expected', 'worst'"):
        ps.ev.rank_metrics(adata, ties="best")


@BOTH
def test_screens_that_cannot_be_judged(judge) -> None:
    adata = with_random(screen())
    del adata.obs["split"]
    with refused(adata, KeyError, "no split 'split': call one of"):
        judge(adata)
    judge(adata, split=None)
    with refused(screen(), KeyError, "holds no predictions: call a `ps.tl.fit_"):
        judge(screen())
    with refused(ad.AnnData(np.ones((2, 2), np.float32)), KeyError, "not registered as a screen"):
        judge(ad.AnnData(np.ones((2, 2), np.float32)))
    adata = with_random(screen())
    is_control = (adata.obs["perturbation"] == "control") & (adata.obs["cell_type"] == "y")
    without = adata[~is_control].copy()
    with refused(
        without, ValueError, "no 'control' cells for 'y' any more: keep the matched controls"
    ):
        judge(without)
    adata.X.data[3] = np.nan
    with refused(adata, ValueError, "NaN"):
        judge(adata)


@BOTH
def test_a_view_becomes_its_own(judge) -> None:
    adata = with_random(screen())
    view = adata[:, :]
    with pytest.warns(UserWarning, match="received a view"):
        judge(view)
    assert ps.get.scores(view).notna().any(axis=None)
    assert judge.__name__ not in adata.uns
