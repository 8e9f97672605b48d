"""All levels of representations at once."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from tests.ev.embedded import make_embedded, papalexi_pca
from tests.helpers import fingerprint, refused

import pertscope as ps

QUICK = {
    "linear_probe": {"n_epochs": 40, "batch_size": 64},
    "reconstruction": {"n_epochs": 5, "learning_rate": 1e-2, "batch_size": 64},
    "consistency": {"n_permutations": 100},
    "integration": {"perplexity": 10},
}


@pytest.fixture(scope="module")
def judged() -> ad.AnnData:
    adata = make_embedded(24, signal=3, batch_effect=2, n_cells=24, n_controls=80)
    adata.obsm["X_noise"] = np.random.default_rng(5).normal(size=(adata.n_obs, 4))
    known = pd.DataFrame({"entity1": [f"p{i}" for i in range(23)]})
    known["entity2"] = [f"p{i + 1}" for i in range(23)]
    ps.ev.evaluate_representations(
        adata,
        ["X_rep", "X_noise"],
        postprocess=["raw", "center", "tvn"],
        databases=[known],
        options=QUICK,
        n_seeds=2,
    )
    return adata


def test_every_level_is_there(judged) -> None:
    table = judged.uns["evaluate_representations"]
    assert len(table) == 9 * 3 * 3
    assert table["value"].notna().all()
    assert sorted(table["level"].unique()) == [1, 2, 3, 4, 5, 6]
    drawn = table["level"].isin([2, 4, 6])
    assert table.loc[drawn, "sd"].notna().all()
    assert table.loc[~drawn, "sd"].isna().all()
    best = table[table["best"]]
    assert len(best) == 9 * 3
    highest = table.groupby(["level", "metric", "representation"], observed=True)["value"].max()
    found = best.set_index(["level", "metric", "representation"])["value"]
    assert found.sort_index().equals(highest.sort_index())
    wide = judged.uns["evaluate_representations_table"]
    assert wide.columns.tolist()[3:] == ["random_labels", "X_rep", "X_noise"]
    assert wide["level"].tolist() == [1, 2, 2, 3, 4, 4, 5, 6, 6]


def test_what_wins(judged) -> None:
    table = judged.uns["evaluate_representations"]
    text = table.astype({"representation": str, "postprocess": str, "metric": str})
    of = text.set_index(["level", "metric", "representation", "postprocess"])["value"]
    for level, metric in ((2, "top1_accuracy"), (4, "top1_accuracy"), (3, "consistency")):
        centred = of[level, metric, "X_rep", "center"]
        assert centred > 2 * of[level, metric, "random_labels", "center"]
        assert centred > 2 * of[level, metric, "X_noise", "center"]
    # centring mixes batches; noise was never apart
    assert of[1, "ilisi", "X_rep", "center"] > of[1, "ilisi", "X_rep", "raw"] + 0.3
    mixed = of[1, "ilisi", "random_labels", "raw"]
    assert of[1, "ilisi", "X_rep", "raw"] < mixed - 0.3
    assert of[1, "ilisi", "X_noise", "raw"] == pytest.approx(mixed, abs=0.1)
    assert of[6, "spearman", "X_rep", "raw"] > 0.35
    assert abs(of[6, "spearman", "random_labels", "raw"]) < 0.1


def test_rows_are_those_of_the_functions(judged) -> None:
    table = judged.uns["evaluate_representations"].astype(str)
    alone = judged.copy()
    ps.pp.center(alone, "X_rep", key_added="X_centred")
    ps.ev.knn_accuracy(alone, "X_centred", n_seeds=2)
    expected = alone.uns["knn_accuracy"].query("metric == 'top5_accuracy'")["value"]
    row = table.query(
        "level == '4' and metric == 'top5_accuracy' and representation == 'X_rep' "
        "and postprocess == 'center'"
    )
    assert float(row["value"].item()) == expected.mean()
    assert float(row["sd"].item()) == expected.std()


def test_the_rest_stays_and_is_stored(judged, tmp_path) -> None:
    assert set(judged.obsm) == {"X_rep", "X_noise"}
    assert set(judged.uns) == {
        "pertscope",
        "evaluate_representations",
        "evaluate_representations_table",
    }
    assert list(judged.obs) == ["perturbation", "batch"]
    judged.write_h5ad(tmp_path / "x.h5ad")
    back = ad.read_h5ad(tmp_path / "x.h5ad").uns
    assert back["evaluate_representations_table"].shape == (9, 6)
    again = judged.copy()
    ps.ev.evaluate_representations(again, ["X_rep"], levels=[4, 3], n_seeds=1, options=QUICK)
    one = fingerprint(again.uns["evaluate_representations"])
    ps.ev.evaluate_representations(again, ["X_rep"], levels=[4, 3], n_seeds=1, options=QUICK)
    assert fingerprint(again.uns["evaluate_representations"]) == one
    assert again.uns["evaluate_representations_table"]["level"].tolist() == [3, 4, 4]


def test_papalexi(papalexi) -> None:
    adata = papalexi_pca(papalexi)
    ps.ev.evaluate_representations(
        adata, ["X_pca"], levels=[3, 4], postprocess=["raw", "center"], n_seeds=1, options=QUICK
    )
    wide = adata.uns["evaluate_representations_table"]
    assert (wide["X_pca"] > wide["random_labels"]).all()


def test_bad_input() -> None:
    adata = make_embedded()
    evaluate = ps.ev.evaluate_representations
    with refused(adata, TypeError, r"takes a list of keys of `.obsm`: \['X_rep'\]"):
        evaluate(adata, "X_rep")
    for keys, match in (
        ({"postprocess": ["centre"]}, "`postprocess` holds 'centre'; nearest: 'center'"),
        ({"levels": [7]}, "`levels` holds '7'"),
        ({"options": {"probe": {}}}, "`options` holds 'probe'; nearest: 'linear_probe'"),
        ({"levels": []}, "must not be empty"),
    ):
        with refused(adata, ValueError, match):
            evaluate(adata, ["X_rep"], **keys)
    with refused(adata, ValueError, "must be distinct"):
        evaluate(adata, ["X_rep", "X_rep"])
    with refused(adata, KeyError, "`.obsm` has no 'X_pca'"):
        evaluate(adata, ["X_rep", "X_pca"])
    lost = (adata.obs["perturbation"] == "control") & (adata.obs["batch"] == "b2")
    part = adata[~lost.to_numpy()].copy()
    with refused(part, ValueError, "'b2'"):
        evaluate(part, ["X_rep"], levels=[4], postprocess=["center"])
    ps.pp.register(adata)
    with refused(adata, ValueError, "register it with `batch_key"):
        evaluate(adata, ["X_rep"])
