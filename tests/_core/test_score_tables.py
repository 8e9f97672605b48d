from __future__ import annotations

import anndata as ad
import pandas as pd
import pytest
from tests.helpers import make_screen, refused

from pertscope._core.score_tables import score_tables, write_scores


def table(prediction: str, metric: str, value: float) -> pd.DataFrame:
    row = {"prediction": prediction, "perturbation": "A", "statistic": "mean", "metric": metric}
    return pd.DataFrame([row | {"value": value}]).astype({"prediction": "category"})


def test_tables_are_joined_in_the_order_of_writing(tmp_path) -> None:
    adata = make_screen()
    write_scores(adata, "rank_metrics", table("m", "rank", 0.5))
    write_scores(adata, "error_metrics", table("m", "rmse", 1.0))
    write_scores(adata, "rank_metrics", table("n", "rank", 0.1))  # replaces the first
    for read in (lambda: adata, lambda: ad.read_h5ad(tmp_path / "x.h5ad")):
        joined = score_tables(read())
        assert joined["metric"].tolist() == ["rmse", "rank"]
        assert joined["prediction"].tolist() == ["m", "n"]
        assert joined["value"].tolist() == [1.0, 0.1]
        adata.write_h5ad(tmp_path / "x.h5ad")


def test_dropped_tables_are_forgotten() -> None:
    adata = make_screen()
    write_scores(adata, "a", table("m", "rank", 0.5))
    write_scores(adata, "b", table("m", "rmse", 0.5))
    del adata.uns["a"]
    assert score_tables(adata)["metric"].tolist() == ["rmse"]
    del adata.uns["b"]
    with refused(adata, KeyError, r"nothing was judged yet: call `ps\.ev\.evaluate`"):
        score_tables(adata)


def test_nothing_judged() -> None:
    with pytest.raises(KeyError, match="nothing was judged yet"):
        score_tables(make_screen())
